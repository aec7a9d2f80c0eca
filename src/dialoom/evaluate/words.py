"""What a recogniser heard against what was to be said: word and character errors.

A rate is errors (words put in, left out, put in place of others) ÷ words of the text: Levenshtein's
distance, counted by jiwer. Both are brought into one form before: what is written, not said, and
what is said in either spelling may not count.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from dialoom.audio import Waveform, resample
from dialoom.audio.speech import SPEECH_RATE_HZ
from dialoom.audio.transcribe import WINDOW_S, Transcriber
from dialoom.errors import AudioError, MissingExtra
from dialoom.text import BRACKETS, NONVERBALS

WINDOWS_AT_ONCE = 8
"""That a recogniser is given together."""

_TAG = re.compile(r"\[[A-Za-z0-9_-]+\]")
_APOSTROPHES = "'’ʼ"


@dataclass(frozen=True)
class WordErrors:
    """One utterance against its text.

    Attributes:
        heard: as the recogniser wrote it.
        word_errors: words put in, left out or put in place of others.
        num_words: of the text; 0 where nothing was to be said.
        character_errors: the same of characters, spaces left out.
        num_characters: of the text, spaces left out.
    """

    heard: str
    word_errors: int
    num_words: int
    character_errors: int
    num_characters: int

    @property
    def word_error_rate(self) -> float:
        """May be over 1; NaN where nothing was to be said."""
        return self.word_errors / self.num_words if self.num_words else math.nan

    @property
    def character_error_rate(self) -> float:
        """May be over 1; NaN where nothing was to be said."""
        return self.character_errors / self.num_characters if self.num_characters else math.nan


def normalise(text: str) -> str:
    """The words alone: NFKC, lower case; no tags, no punctuation, no sounds such as "(laughs)".

    Apostrophes vanish ("don't" is one word), other punctuation parts words as a space does. Numbers
    are left as they are written.
    """
    text = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).lower()
    text = BRACKETS.sub(lambda found: " " if found[0] in NONVERBALS else found[0], text)
    text = "".join(character for character in text if character not in _APOSTROPHES)
    return " ".join("".join(" " if _parts(c) else c for c in text).split())


def _parts(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def count_errors(text: str, heard: str) -> WordErrors:
    """A text against what was heard of it; both are normalised here.

    Raises:
        MissingExtra: jiwer is not installed.
    """
    import_jiwer()
    from jiwer import process_characters, process_words

    said, understood = normalise(text), normalise(heard)
    squeezed = said.replace(" ", ""), understood.replace(" ", "")
    words = process_words([said], [understood])
    characters = process_characters([squeezed[0]], [squeezed[1]])
    return WordErrors(
        heard=heard,
        word_errors=words.substitutions + words.deletions + words.insertions,
        num_words=len(said.split()),
        character_errors=characters.substitutions + characters.deletions + characters.insertions,
        num_characters=len(squeezed[0]),
    )


def import_jiwer() -> None:
    """Raises MissingExtra where jiwer is not installed; it is better known before the work."""
    try:
        import jiwer  # noqa: F401
    except ImportError as error:
        raise MissingExtra("counting word errors", "jiwer", "asr") from error


def transcribe_all(
    transcriber: Transcriber, waveforms: Sequence[Waveform], languages: Sequence[str | None]
) -> list[str]:
    """What each clip says; a clip that is longer than the recogniser hears at once, in windows.

    A language that the recogniser does not know is left for it to find out.

    Args:
        transcriber: the recogniser.
        waveforms: at any rate, of any length; one without samples says nothing.
        languages: of each.
    """
    windows = [
        (language, number, window)
        for number, (waveform, language) in enumerate(zip(waveforms, languages, strict=True))
        for window in _windows(waveform)
    ]
    windows.sort(key=lambda item: item[0] or "")  # one language at a time; clips stay in order
    heard: list[list[str]] = [[] for _ in waveforms]
    for language, group in groupby(windows, key=lambda item: item[0]):
        items = list(group)
        for start in range(0, len(items), WINDOWS_AT_ONCE):
            lot = items[start : start + WINDOWS_AT_ONCE]
            texts = _transcribe(transcriber, [window for _, _, window in lot], language)
            for (_, number, _), text in zip(lot, texts, strict=True):
                heard[number].append(text)
    return [" ".join(parts) for parts in heard]


def _windows(waveform: Waveform) -> list[Waveform]:
    if not waveform.num_samples:
        return []
    samples = resample(waveform, SPEECH_RATE_HZ).samples
    size = round(WINDOW_S * SPEECH_RATE_HZ)
    edges = np.arange(0, samples.size, size)
    return [Waveform(samples[edge : edge + size], SPEECH_RATE_HZ) for edge in edges]


def _transcribe(
    transcriber: Transcriber, windows: Sequence[Waveform], language: str | None
) -> list[str]:
    try:
        found = transcriber.transcribe(windows, language)
    except AudioError:
        if language is None:
            raise
        found = transcriber.transcribe(windows, None)
    return [transcript.text for transcript in found]
