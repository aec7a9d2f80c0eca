"""A model that speaks for many at once: each request sees a Synthesizer, all share one engine."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dialoom.audio import Waveform
from dialoom.codec import Codec, CodecSpec, Codes
from dialoom.codec.base import DecoderReach
from dialoom.generate import SamplingSettings, Synthesizer, Voice, VoicePrompt
from dialoom.generate.narration import Narration
from dialoom.generate.request import Generated
from dialoom.generate.spoken import refuse_unknown_speakers
from dialoom.generate.voice import encode_prompt
from dialoom.serve.engine import Engine, Ticket


@dataclass(frozen=True)
class Order:
    """What a request asks to be said.

    Attributes:
        text: of any length; a long one is spoken in parts.
        settings: sampling; None for the voice's, else the defaults.
        voice: to continue; None for whoever the model makes up.
        language: its tag goes in front; None for the voice's.
        deadline_s: by `time.monotonic`.
    """

    text: str
    settings: SamplingSettings | None = None
    voice: Voice | None = None
    language: str | None = None
    deadline_s: float = float("inf")


class OneThreadCodec:
    """A codec that works in one thread for all: torch keeps a pool of threads for every caller."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._thread = ThreadPoolExecutor(1, "dialoom-codec")

    @property
    def spec(self) -> CodecSpec:
        return self._codec.spec

    @property
    def reach(self) -> DecoderReach:
        return self._codec.reach

    def encode(self, waveform: Waveform) -> Codes:
        return self._thread.submit(self._codec.encode, waveform).result()

    def decode(self, codes: Codes) -> Waveform:
        return self._thread.submit(self._codec.decode, codes).result()

    def decode_many(self, clips: Sequence[Codes]) -> list[Waveform]:
        return self._thread.submit(self._codec.decode_many, clips).result()

    def close(self) -> None:
        self._thread.shutdown()


class Speaker:
    """A model under its name."""

    def __init__(
        self,
        name: str,
        synthesizer: Synthesizer,
        *,
        max_rows: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Loads the codec and starts the engine.

        Args:
            name: what requests call the model.
            synthesizer: the model; nobody else may use it meanwhile.
            max_rows: texts that are spoken at once.
            on_batch: called with the size of each batch that begins.

        Raises:
            CodecError: the codec cannot be loaded.
        """
        self.name = name
        self.codec = OneThreadCodec(synthesizer.codec)
        self.engine = Engine(synthesizer.decoder, max_rows=max_rows, on_batch=on_batch)
        self._synthesizer = synthesizer

    @property
    def sample_rate_hz(self) -> int:
        return self.codec.spec.sample_rate_hz

    def settings_for(self, voice: Voice | None) -> SamplingSettings:
        """Where a request does not say how to speak."""
        return self._synthesizer.settings_for(voice)

    def speak(self, order: Order) -> "Speaking":
        """The speech in pieces, as they are made; each is waited for.

        Raises:
            UserError: the order cannot be met; before the first piece.
            SpeakTimeout: it took too long.
            EngineClosed: after `close`.
        """
        refuse_unknown_speakers(order.text, self._synthesizer.tags)
        shared = _SharedSynthesizer(self._synthesizer, self.codec, self.engine, order.deadline_s)
        narration = Narration(
            shared, order.text, order.settings, prompt=order.voice, language=order.language
        )
        return Speaking(iter(narration), shared)

    def encode_voice(self, prompt: VoicePrompt) -> Voice:
        """A clip as a voice of this model's codec.

        Raises:
            GenerationError, AudioError: it has no transcript, or is too short.
        """
        return encode_prompt(prompt, self.codec)

    def close(self, timeout_s: float | None = None) -> None:
        """Speaks what was ordered, then ends."""
        self.engine.close(timeout_s)
        self.codec.close()


class Speaking:
    """Speech on its way, in pieces; `next_piece` and `cancel` may be called from any thread."""

    def __init__(self, pieces: Iterator[Waveform], shared: "_SharedSynthesizer") -> None:
        self._pieces, self._shared = pieces, shared

    def next_piece(self) -> Waveform | None:
        """Waits for it; None after the last.

        Raises:
            UserError: it cannot be spoken, or not in time.
        """
        return next(self._pieces, None)

    def cancel(self) -> None:
        """Nobody listens any more: its place is free for another."""
        self._shared.cancel()


class _SharedSynthesizer(Synthesizer):
    """A Synthesizer for one request, whose frames come from the engine."""

    def __init__(self, whole: Synthesizer, codec: Codec, engine: Engine, deadline_s: float) -> None:
        super().__init__(whole.model, whole.info, codec)
        self._engine, self._deadline_s = engine, deadline_s
        self._ticket: Ticket | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._ticket is not None:
            self._ticket.cancel()

    def stream_codes(
        self,
        text: str,
        settings: SamplingSettings | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> Iterator[Generated]:
        self._ticket = self._engine.submit(self.request(text, settings, prompt, language))
        if self._is_cancelled:
            self._ticket.cancel()
        return self._ticket.pieces(self._deadline_s)
