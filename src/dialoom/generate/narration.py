"""Texts of any length in one voice: part by part, each continued from the codes of those before.

The parts' codes follow one another as the model made them, so the codec decodes them as one clip:
there is no seam in the sound that would have to be hidden.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dialoom.audio.waveform import Waveform
from dialoom.codec import Codes, WindowedDecoder
from dialoom.errors import GenerationError, TextError
from dialoom.generate.guard import (
    Fault,
    Guard,
    Take,
    Wish,
    expected_s,
    find_fault,
    longest_s,
    speak_guarded,
)
from dialoom.generate.parts import PartLimits, split_script
from dialoom.generate.pauses import PauseGate
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.streaming import in_chunks, to_codes
from dialoom.generate.synthesizer import Speech, Synthesizer
from dialoom.generate.voice import Voice, VoicePrompt
from dialoom.text import add_ending_tag, join_scripts, prepare_text, split_turns

ROOM = 1.3
"""Times its expected length: what a part is left of the model's positions."""


@dataclass(frozen=True)
class NarrationOptions:
    """How a long text is spoken.

    Attributes:
        limits: of a part.
        total_s: of a part and what it continues together; None for what the model's positions
            allow. A model that was trained on short clips needs less.
        max_pause_s: where two parts meet.
        retries: how often a part with a fault is drawn again; with any, a part is only heard when
            it is whole.
        end_tag: puts the tag of the last speaker but one behind each part (`add_ending_tag`).
    """

    limits: PartLimits = field(default_factory=PartLimits)
    total_s: float | None = None
    max_pause_s: float = 0.6
    retries: int = 0
    end_tag: bool = False

    def __post_init__(self) -> None:
        if self.total_s is not None and not self.limits.max_s < self.total_s < float("inf"):
            raise GenerationError(
                f"part and context together are {self.total_s:g} s: they must be more than the "
                f"{self.limits.max_s:g} s of a part"
            )
        if not 0 < self.max_pause_s < float("inf"):
            raise GenerationError(f"max-pause is {self.max_pause_s:g} s: it must be more than 0")


@dataclass(frozen=True)
class SpokenPart:
    """A part of a long text, and when it is heard.

    Attributes:
        text: of the part.
        start_s: of its first sound, from the start of the whole; where nothing is heard of it, the
            end of what was heard before.
        end_s: of its last sound.
        seed: it was drawn with.
        fault: what is wrong with its length; None if nothing.
        num_draws: how often it was spoken.
    """

    text: str
    start_s: float
    end_s: float
    seed: int
    fault: Fault | None
    num_draws: int


@dataclass(frozen=True)
class _Heard:
    """What later parts may continue."""

    text: str
    codes: Codes

    @property
    def speakers(self) -> set[str]:
        return {turn.speaker for turn in split_turns(self.text)}


class Narration:
    """A long text, spoken while it is iterated over: chunks of sound, once.

    `parts` and `codes` are complete when the iteration is.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        text: str,
        settings: SamplingSettings | None = None,
        options: NarrationOptions | None = None,
        *,
        prompt: Voice | VoicePrompt | None = None,
        language: str | None = None,
    ) -> None:
        """Splits the text.

        Args:
            synthesizer: speaks the parts.
            text: of any length.
            settings: sampling; `max_seconds` is of a part, part i draws with seed + i. None for the
                voice's, else the defaults.
            options: how it is split and joined.
            prompt: a voice, which the first part continues.
            language: puts the language's tag in front of each part; None for the voice's.

        Raises:
            TextError: the text says nothing or holds control bytes.
            GenerationError, CodecError: the voice cannot be used.
        """
        self._synthesizer = synthesizer
        self._options = options or NarrationOptions()
        voice = synthesizer.voice(prompt)
        self._settings = settings or synthesizer.settings_for(voice)
        self._language = language or (voice and voice.language) or None
        script = prepare_text(text) if voice is None else prepare_text(text, voice.speaker)
        self._texts = split_script(script, self._options.limits)
        if not self._texts:
            raise TextError("the text is empty: give at least one word")
        for part in self._texts:  # what the last cannot be read for is told before the first
            synthesizer.tags.encode(part, language=self._language)
        self._history = [] if voice is None else [_Heard(voice.text, voice.codes)]
        spec = synthesizer.codec_spec
        most = max(2, round(self._options.max_pause_s * spec.frames_per_second))
        self._gate = PauseGate(spec.hop_length, most)
        self._frames: list[np.ndarray] = []
        self._takes: list[Take] = []

    @property
    def num_parts(self) -> int:
        return len(self._texts)

    @property
    def codes(self) -> Codes:
        """Of what was heard so far, the shortened pauses left out."""
        if not self._frames:
            return Codes(np.zeros((0, self._synthesizer.codec_spec.num_codebooks), np.uint16))
        return Codes(np.concatenate(self._frames)[self._gate.kept])

    @property
    def parts(self) -> list[SpokenPart]:
        """The parts that were spoken so far."""
        rate = self._synthesizer.codec_spec.frames_per_second
        ends = np.cumsum([take.speech.codes.num_frames for take in self._takes])
        heard = np.searchsorted(self._gate.kept, self._gate.sounding)  # places among what came out
        part_of = np.searchsorted(ends, self._gate.sounding, side="right")
        parts: list[SpokenPart] = []
        end_s = 0.0
        for index, take in enumerate(self._takes):
            own = heard[part_of == index]
            start_s, end_s = (own[0] / rate, (own[-1] + 1) / rate) if own.size else (end_s, end_s)
            parts.append(
                SpokenPart(
                    take.speech.text, float(start_s), float(end_s), take.seed, take.fault,
                    take.num_draws,
                )
            )  # fmt: skip
        return parts

    def __iter__(self) -> Iterator[Waveform]:
        """Speaks; no chunk is empty.

        Raises:
            GenerationError: a part does not fit the model, or nothing was said at all.
        """
        decoder = WindowedDecoder(self._synthesizer.codec)
        sound = (
            decoder.push(codes)
            for index in range(len(self._takes), self.num_parts)
            for codes in self._speak(index)
        )
        for waveform in sound:
            yield from self._through_gate(waveform)
        yield from self._through_gate(decoder.finish())
        if not self._gate.kept:
            raise GenerationError("the model ended before it said anything: try another --seed")

    def _through_gate(self, waveform: Waveform) -> Iterator[Waveform]:
        samples = self._gate.push(waveform.samples)
        if samples.size:
            yield Waveform(samples, waveform.sample_rate_hz)

    def _speak(self, index: int) -> Iterator[Codes]:
        """The codes of one part as they come; notes the part when they are all there."""
        text = self._texts[index]
        rate = self._options.limits.bytes_per_second
        settings = replace(
            self._settings,
            seed=self._settings.seed + index,
            max_seconds=self._settings.max_seconds or longest_s(text, rate),
        )
        context = self._context(text)
        asked = add_ending_tag(text) if self._options.end_tag else text
        if self._options.retries:
            guard = Guard(self._options.retries, rate)
            wish = Wish(asked, settings, guard, context, self._language)
            [take] = speak_guarded(self._synthesizer, [wish])
            yield from self._note(take.speech.codes)
        else:
            take = yield from self._stream(asked, settings, context)
        self._takes.append(replace(take, speech=replace(take.speech, text=text)))
        self._gate.join(sum(take.speech.codes.num_frames for take in self._takes))
        if take.fault is None:
            self._history.append(_Heard(text, take.speech.codes))

    def _stream(
        self, text: str, settings: SamplingSettings, context: Voice | None
    ) -> Generator[Codes, None, Take]:
        pieces = self._synthesizer.stream_codes(
            text, settings, prompt=context, language=self._language
        )
        lookahead = self._synthesizer.codec.reach.after
        start, stopped = len(self._frames), False
        for piece in in_chunks(pieces, lookahead=0 if self._takes else lookahead):
            stopped = piece.stopped
            yield from self._note(to_codes(piece))
        codes = Codes(np.concatenate(self._frames[start:]))
        speech = Speech(text, codes, stopped)
        rate = self._synthesizer.codec_spec.frames_per_second
        return Take(
            speech, settings.seed, find_fault(speech, rate, self._options.limits.bytes_per_second)
        )

    def _note(self, codes: Codes) -> Iterator[Codes]:
        self._frames.append(codes.frames)
        yield codes

    def _context(self, text: str) -> Voice | None:
        """What the part continues: the part before it, and the last one of each other speaker.

        Parts with a fault are continued by none. What does not fit the model is left out.
        """
        config = self._synthesizer.model.config
        spec = self._synthesizer.codec_spec
        possible = config.decoder.max_position_embeddings - config.layout.max_delay - 2
        if self._options.total_s is not None:
            possible = min(possible, round(self._options.total_s * spec.frames_per_second))
        wanted_s = ROOM * expected_s(text, self._options.limits.bytes_per_second)
        room_frames = possible - round(wanted_s * spec.frames_per_second)
        room_bytes = config.encoder.max_position_embeddings - len(text.encode()) - 8  # tags
        chosen = choose_context(self._history, text, room_frames=room_frames, room_bytes=room_bytes)
        return None if chosen is None else Voice(chosen.codes, chosen.text, spec)


def choose_context(
    history: Sequence[_Heard], text: str, *, room_frames: int, room_bytes: int
) -> _Heard | None:
    """The latest of what was heard, and of each speaker of the text that is not in it the latest.

    Backwards through the history; in the result they stand in their order. What would be too much
    is passed over.
    """
    missing = {turn.speaker for turn in split_turns(text)}
    chosen: list[_Heard] = []
    for heard in reversed(history):
        if chosen and not missing & heard.speakers:
            continue
        num_bytes = len(heard.text.encode()) + 1
        if heard.codes.num_frames > room_frames or num_bytes > room_bytes:
            continue
        chosen.insert(0, heard)
        missing -= heard.speakers
        room_frames -= heard.codes.num_frames
        room_bytes -= num_bytes
    if not chosen:
        return None
    joined = chosen[0].text
    for heard in chosen[1:]:
        joined = join_scripts(joined, heard.text)
    return _Heard(joined, Codes(np.concatenate([heard.codes.frames for heard in chosen])))
