"""How a run ended, and what its best checkpoint is best by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean

from dialoom.observe import ValidRecord

BEST_FIGURES: Mapping[str, Callable[[ValidRecord], float]] = {
    "loss": lambda record: record.loss,
    "loss_channel_0": lambda record: record.loss_channels[0],
    "eos_loss": lambda record: record.eos_loss,
    "accuracy": lambda record: -mean(record.accuracy_channels),
}
"""What a checkpoint is best by, on the validation clips; less is better."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: optimizer steps done.
        finished: False where it was asked to stop early.
        best_loss: lowest validation loss after step 0, nats per target; None if there was none.
    """

    step: int
    finished: bool
    best_loss: float | None
