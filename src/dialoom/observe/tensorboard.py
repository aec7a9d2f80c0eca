"""TensorBoardSink: a run's records as curves, sounds and pictures. metrics.jsonl stays the truth.

torch is imported when a sink is made: reading metrics must stay fast.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from dialoom.observe.records import (
    EventRecord,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.observe.scalars import scalars


class TensorBoardSink:
    """Writes into a directory.

    Args:
        directory: what `tensorboard --logdir` is given.
        resume_step: TensorBoard hides what an earlier process wrote for later steps.
    """

    name = "TensorBoard"

    def __init__(self, directory: Path, *, resume_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge_step = None if resume_step is None else resume_step + 1
        self._writer = SummaryWriter(str(directory), purge_step=purge_step)

    def train(self, record: TrainRecord) -> None:
        self._scalars(record)

    def valid(self, record: ValidRecord) -> None:
        self._scalars(record)

    def speech(self, record: SpeechRecord) -> None:
        self._scalars(record)

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        from dialoom.observe.plots import spectrogram  # matplotlib takes its time

        clipped = np.clip(samples, -1.0, 1.0)[None]
        tag = f"samples/{record.name}"
        self._writer.add_audio(tag, clipped, record.step, sample_rate=sample_rate_hz)
        picture = np.asarray(spectrogram(samples, sample_rate_hz=sample_rate_hz).convert("RGB"))
        self._writer.add_image(tag, picture, record.step, dataformats="HWC")
        self._writer.add_text(tag, record.text, record.step)

    def event(self, record: EventRecord) -> None:
        self._writer.add_text("events", record.message, record.step)

    def close(self) -> None:
        self._writer.close()

    def _scalars(self, record: TrainRecord | ValidRecord | SpeechRecord) -> None:
        for tag, value in scalars(record).items():
            self._writer.add_scalar(tag, value, record.step)
