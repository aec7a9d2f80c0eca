"""Waveform → Transcript: what is said, when, and how sure the recogniser is.

Source of the recogniser: Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", 2022, as transformers has it.
"""

import importlib.util
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from dialoom.audio.speech import SPEECH_RATE_HZ
from dialoom.audio.waveform import Waveform
from dialoom.errors import AudioError, MissingExtra

WINDOW_S = 30.0
"""What Whisper hears at once."""

_UNFINISHED = "\ufffd"
"""How a tokenizer writes some of the bytes of a character."""


@dataclass(frozen=True)
class Word:
    """One word of a transcript.

    Attributes:
        text: with the punctuation that follows it.
        start_s: from the start of what was transcribed.
        end_s: likewise.
    """

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Transcript:
    """What a recogniser heard.

    Attributes:
        text: empty if it heard no words.
        confidence: mean probability that it gave the tokens of the text, 0…1.
        words: with their times; empty where the recogniser cannot tell times. What no space
            divides, as in Japanese, is one word.
    """

    text: str
    confidence: float
    words: tuple[Word, ...] = ()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without what transformers says of its own settings, and its bars of loading."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


@runtime_checkable
class Transcriber(Protocol):
    """Writes down what is said."""

    @property
    def name(self) -> str:
        """What it is: equal names write equal transcripts."""
        ...

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        """One transcript each.

        Args:
            waveforms: at 16 kHz, each of at most 30 s.
            language: such as "de"; None: each is recognised.

        Raises:
            AudioError: the recogniser does not know the language.
        """
        ...


class WhisperTranscriber:
    """Whisper through transformers: greedy, on the accelerator (float16) or the CPU (float32).

    Args:
        source: Hub id or directory of a Whisper with its tokenizer.

    Raises:
        MissingExtra: accelerate is not installed.
        AudioError: it cannot be loaded, or is no Whisper.
    """

    def __init__(self, source: str) -> None:
        if importlib.util.find_spec("accelerate") is None:
            raise MissingExtra("transcribing", "accelerate", "asr")
        import torch
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        dtype = torch.float32 if device.type == "cpu" else torch.float16
        try:
            with quiet_transformers():
                self._model: Any = WhisperForConditionalGeneration.from_pretrained(
                    source, dtype=dtype, device_map=str(device)
                )
            self._processor: Any = WhisperProcessor.from_pretrained(source)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise AudioError(
                f"recogniser {source}: cannot be loaded ({reason.rstrip('.')}); name a Whisper: a "
                "Hub id such as openai/whisper-large-v3-turbo, or a directory with its files"
            ) from error
        settings = self._model.generation_config
        self._languages = [tag[2:-2] for tag in getattr(settings, "lang_to_id", {})]
        self._is_multilingual = bool(getattr(settings, "is_multilingual", False))
        self._tells_times = bool(getattr(settings, "alignment_heads", None))
        self.name = f"{source} ({dtype})".replace("torch.", "")

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        import torch

        options: dict[str, object] = {}
        if self._is_multilingual:
            options = {"task": "transcribe", "language": self._known(language)}
        with torch.inference_mode(), quiet_transformers():
            features = self._features(waveforms)
            heard = self._model.generate(
                features["input_features"].to(self._model.device, self._model.dtype),
                attention_mask=features["attention_mask"].to(self._model.device),
                do_sample=False,
                num_beams=1,
                return_timestamps=False,
                return_token_timestamps=self._tells_times,
                return_dict_in_generate=True,
                output_scores=True,
                **options,
            )
        scores = heard["scores"]  # one (B, V) for every token after the prompt
        tokens_BT = heard["sequences"][:, -len(scores) :]
        chosen_BT = torch.stack(
            [
                scores_BV.float().softmax(-1).gather(-1, tokens_B[:, None])[:, 0]
                for scores_BV, tokens_B in zip(scores, tokens_BT.T, strict=True)
            ],
            dim=1,
        )
        times_BT = heard["token_timestamps"][:, -len(scores) :] if self._tells_times else None
        return [
            self._transcript(
                tokens_BT[i].tolist(),
                chosen_BT[i].tolist(),
                None if times_BT is None else times_BT[i].tolist(),
            )
            for i in range(len(waveforms))
        ]

    def _features(self, waveforms: Sequence[Waveform]) -> Any:
        assert all(w.sample_rate_hz == SPEECH_RATE_HZ for w in waveforms)
        assert all(w.duration_s <= WINDOW_S for w in waveforms)
        return self._processor.feature_extractor(
            [waveform.samples for waveform in waveforms],
            sampling_rate=SPEECH_RATE_HZ,
            return_tensors="pt",
            return_attention_mask=True,
        )

    def _known(self, language: str | None) -> str | None:
        if language is not None and language not in self._languages:
            raise AudioError(
                f"recogniser {self.name}: does not know the language {language!r}; choose one of "
                f"{', '.join(self._languages)}, or leave --language out"
            )
        return language

    def _transcript(
        self, tokens: Sequence[int], probabilities: Sequence[float], times_s: Sequence[float] | None
    ) -> Transcript:
        """Of one clip; token i is said from times_s[i] to times_s[i + 1]."""
        special = set(self._processor.tokenizer.all_special_ids)
        steps = [i for i, token in enumerate(tokens) if token not in special]
        text = self._processor.tokenizer.decode([tokens[i] for i in steps]).strip()
        if not text:
            return Transcript("", 0.0)
        confidence = statistics.fmean(probabilities[i] for i in steps)
        words = () if times_s is None else self._words(tokens, steps, times_s)
        return Transcript(text, confidence, words)

    def _words(
        self, tokens: Sequence[int], steps: Sequence[int], times_s: Sequence[float]
    ) -> tuple[Word, ...]:
        """A word begins with a space; spaces, and parts of a character, wait for what follows."""
        words: list[Word] = []
        waiting: list[int] = []
        start_s = 0.0
        for step in steps:
            start_s = start_s if waiting else times_s[step]
            waiting.append(tokens[step])
            text = self._processor.tokenizer.decode(waiting)
            if text.endswith(_UNFINISHED) or not text.strip():
                continue
            waiting = []
            end_s = times_s[min(step + 1, len(times_s) - 1)]
            if words and not text.startswith(" "):
                previous = words.pop()
                words.append(Word(previous.text + text, previous.start_s, end_s))
            else:
                words.append(Word(text.strip(), start_s, end_s))
        return tuple(words)
