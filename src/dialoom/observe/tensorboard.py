"""TensorBoardSink: a run's records as scalars and audio. metrics.jsonl stays the truth.

torch is imported when a sink is made: reading metrics must stay fast.
"""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from dialoom.observe.metrics import EventRecord, SampleRecord, TrainRecord, ValidRecord


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
        self._losses("train", record)
        self._scalar("train/lr", record.lr, record.step)
        self._scalar("train/grad_norm", record.grad_norm, record.step)
        for block, norm in record.block_norms.items():
            self._scalar(f"grad_norm/{block}", norm, record.step)
        self._scalar("speed/audio_seconds_per_second", record.audio_seconds_per_second, record.step)

    def valid(self, record: ValidRecord) -> None:
        self._losses("valid", record)

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        clipped = np.clip(samples, -1.0, 1.0)[None]
        tag = f"samples/{record.name}"
        self._writer.add_audio(tag, clipped, record.step, sample_rate=sample_rate_hz)
        self._writer.add_text(tag, record.text, record.step)

    def event(self, record: EventRecord) -> None:
        self._writer.add_text("events", record.message, record.step)

    def close(self) -> None:
        self._writer.close()

    def _losses(self, split: str, record: TrainRecord | ValidRecord) -> None:
        self._scalar(f"{split}/loss/total", record.loss, record.step)
        for channel, loss in enumerate(record.loss_channels):
            self._scalar(f"{split}/loss/channel_{channel}", loss, record.step)
        for channel, accuracy in enumerate(record.accuracy_channels):
            self._scalar(f"{split}/accuracy/channel_{channel}", accuracy, record.step)
        self._scalar(f"{split}/eos/loss", record.eos_loss, record.step)
        self._scalar(f"{split}/eos/recall", record.eos_recall, record.step)
        for channel, recall in enumerate(record.eos_recall_channels):
            self._scalar(f"{split}/eos/recall_channel_{channel}", recall, record.step)

    def _scalar(self, tag: str, value: float, step: int) -> None:
        """A point; what is not a number (no EOS in this batch) leaves a gap."""
        if math.isfinite(value):
            self._writer.add_scalar(tag, value, step)
