"""A detector and a recogniser that need no weights, and count what they do."""

from collections.abc import Sequence

import numpy as np

from dialoom.audio import Segment, Waveform
from dialoom.audio.speech import SpeechDetector
from dialoom.audio.transcribe import Transcriber, Transcript, Word

BLOCK_S = 0.1


class LoudnessDetector(SpeechDetector):
    """Speech is what is louder than nothing, in steps of 0.1 s."""

    def __init__(self) -> None:
        self.num_found = 0

    @property
    def name(self) -> str:
        return "loudness"

    def find(self, waveform: Waveform) -> list[Segment]:
        self.num_found += 1
        size = round(BLOCK_S * waveform.sample_rate_hz)
        blocks = waveform.samples[: waveform.num_samples // size * size].reshape(-1, size)
        loud = np.abs(blocks).max(axis=1) > 0.05
        edges = np.flatnonzero(np.diff(np.concatenate([[0], loud, [0]]).astype(int)))
        return [Segment(a * BLOCK_S, b * BLOCK_S) for a, b in edges.reshape(-1, 2).tolist()]


class LengthTranscriber(Transcriber):
    """Says how long it heard; stops like a killed process before its call number `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.calls: list[list[float]] = []
        self.languages: list[str | None] = []

    @property
    def name(self) -> str:
        return "length"

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append([waveform.duration_s for waveform in waveforms])
        self.languages.append(language)
        return [
            Transcript(
                f"{waveform.duration_s:.1f} seconds",
                0.75,
                (Word(f"{waveform.duration_s:.1f}", 0.0, 0.5), Word("seconds", 0.5, 1.0)),
            )
            for waveform in waveforms
        ]
