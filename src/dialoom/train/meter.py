"""Sums of steps → the records that are logged."""

import resource
import sys
from typing import Any

import torch
from torch import Tensor

from dialoom.loss import LossSums
from dialoom.observe import TrainRecord, ValidRecord
from dialoom.train.distributed import Ranks
from dialoom.train.step import StepResult


class Meter:
    """Averages over the steps since the last record, and watches the speed.

    Sums stay on the device until they are recorded, so adding a step waits for nothing.
    """

    def __init__(self, steps_left: int, ranks: Ranks | None = None) -> None:
        self._ranks = ranks or Ranks()
        self._steps_left = steps_left
        self._sums: LossSums | None = None
        self._norm: Tensor | float = 0.0
        self._audio_seconds = 0.0
        self._seconds = 0.0
        self._steps = 0

    def add(self, result: StepResult, seconds: float) -> None:
        """Counts one step that took so long."""
        self._sums = result.sums if self._sums is None else self._sums + result.sums
        self._norm = self._norm + result.norm
        self._audio_seconds += result.audio_seconds
        self._seconds += seconds
        self._steps += 1
        self._steps_left -= 1

    def record(self, step: int, epoch: float, *, lr: float) -> TrainRecord:
        """The steps since the last record, over all ranks; they start anew. All ranks must ask."""
        assert self._sums is not None, "at least one step was added"
        sums = self._ranks.sum_losses(self._sums)
        audio_seconds = self._ranks.sum_seconds(self._audio_seconds)
        record = TrainRecord(
            step=step,
            epoch=epoch,
            **_figures(sums),
            lr=lr,
            grad_norm=float(self._norm) / self._steps,
            audio_seconds=audio_seconds / self._steps,
            audio_seconds_per_second=audio_seconds / self._seconds,
            seconds_left=self._steps_left * self._seconds / self._steps,
            peak_memory_gib=peak_memory_gib(),
        )
        self._sums = None
        self._norm = self._audio_seconds = self._seconds = 0.0
        self._steps = 0
        return record


def peak_memory_gib() -> float:
    """Most memory that tensors took on the GPU so far; without one, that the process took."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def valid_record(step: int, sums: LossSums, num_clips: int) -> ValidRecord:
    """Sums of a validation pass as means."""
    return ValidRecord(step=step, **_figures(sums), num_clips=num_clips)


def _figures(sums: LossSums) -> dict[str, Any]:
    """Nats and shares per target; NaN where a batch had no such target."""
    losses_C = (sums.channel_losses_C / sums.channel_targets_C).double()
    accuracies_C = (sums.channel_correct_C / sums.channel_targets_C).double()
    eos_targets = sums.eos_targets_C.sum()
    return {
        "loss": float(losses_C.mean()),
        "loss_channels": tuple(losses_C.tolist()),
        "accuracy_channels": tuple(accuracies_C.tolist()),
        "eos_loss": float(sums.eos_loss / eos_targets),
        "eos_recall": float(sums.eos_correct_C.sum() / eos_targets),
        "eos_recall_channels": tuple((sums.eos_correct_C / sums.eos_targets_C).double().tolist()),
    }
