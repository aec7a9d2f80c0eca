"""When somebody speaks in a recording, found by Silero's voice-activity detector.

Source: Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", 2021–.
The package holds its weights; they run in onnxruntime, on one core about a thousand times as fast
as the recording plays.
"""

from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

from dialoom.audio.read import Segment
from dialoom.audio.waveform import Waveform
from dialoom.errors import MissingExtra

SPEECH_RATE_HZ = 16_000
"""At which Silero's detector and Whisper listen."""

MIN_PAUSE_MS = 100
"""Shorter silence, as within a plosive, is part of speech."""


@runtime_checkable
class SpeechDetector(Protocol):
    """Tells speech from the rest."""

    @property
    def name(self) -> str:
        """What it is, with its version and settings: equal names find equal speech."""
        ...

    def find(self, waveform: Waveform) -> list[Segment]:
        """The stretches of speech, in order, apart from each other; their ends are known.

        Args:
            waveform: at 16 kHz.
        """
        ...


class SileroDetector:
    """Silero's detector, with its own thresholds: speech from a probability of 0.5 on.

    Raises:
        MissingExtra: silero-vad or onnxruntime is not installed.
    """

    def __init__(self) -> None:
        import torch

        num_threads = torch.get_num_threads()
        try:
            from silero_vad import load_silero_vad

            self._model: Any = load_silero_vad(sequence=True)
        except ImportError as error:
            raise MissingExtra("finding pauses in recordings", "silero-vad", "vad") from error
        finally:
            torch.set_num_threads(num_threads)  # the package sets it to 1 for the whole process
        self.name = f"silero-vad {version('silero-vad')}, pauses from {MIN_PAUSE_MS} ms"

    def find(self, waveform: Waveform) -> list[Segment]:
        from silero_vad import get_speech_timestamps_sequence

        assert waveform.sample_rate_hz == SPEECH_RATE_HZ
        found = get_speech_timestamps_sequence(
            waveform.samples,
            self._model,
            sampling_rate=SPEECH_RATE_HZ,
            min_silence_duration_ms=MIN_PAUSE_MS,
            speech_pad_ms=0,
        )
        return [Segment(s["start"] / SPEECH_RATE_HZ, s["end"] / SPEECH_RATE_HZ) for s in found]
