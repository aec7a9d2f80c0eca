"""Is the training healthy? Losses that jump, gradients that are not finite, and what then."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dialoom.model import DiaModel
from dialoom.observe import EventRecord, RunObserver
from dialoom.observe.records import BAD_STEPS, JUMPED, NOT_FINITE
from dialoom.train.distributed import Ranks
from dialoom.train.settings import TrainSettings
from dialoom.train.step import StepResult

MEMORY = 0.98
"""Share of the moving mean that each step keeps: about fifty steps are remembered."""

WARM_UP = 20
"""Steps before which nothing is called a jump."""

SMALLEST_DEVIATION = 0.02
"""Nats per target; a loss that hardly moves may move by this much without being called restless."""


@dataclass
class LossBound:
    """A moving bound: mean + n · mean absolute deviation of the losses so far.

    Losses above the bound enter the mean as if they were at it, so that one outlier does not
    widen the bound for the next.
    """

    deviations: float
    mean: float = 0.0
    deviation: float = 0.0
    count: int = 0

    @property
    def limit(self) -> float:
        """Nats per target; infinite until enough losses are known."""
        if self.count < WARM_UP:
            return math.inf
        return self.mean + self.deviations * max(self.deviation, SMALLEST_DEVIATION)

    def is_jump(self, loss: float) -> bool:
        """Whether the loss of a step is above the bound, which then takes it in."""
        limit = self.limit
        seen = min(loss, limit)
        # a plain mean at first, so that the very first loss does not weigh for long
        keep = min(MEMORY, self.count / (self.count + 1))
        self.deviation = keep * self.deviation + (1 - keep) * abs(seen - self.mean) * (
            self.count > 0
        )
        self.mean = keep * self.mean + (1 - keep) * seen
        self.count += 1
        return loss > limit

    def state(self) -> dict[str, Any]:
        """All but the setting."""
        return {"mean": self.mean, "deviation": self.deviation, "count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.mean, self.deviation = float(state["mean"]), float(state["deviation"])
        self.count = int(state["count"])


@dataclass(frozen=True)
class _Unread:
    step: int
    result: StepResult
    clip_ids: tuple[str, ...]


class Health:
    """Judges every step, at log points alone, because reading a result waits for a GPU."""

    def __init__(self, settings: TrainSettings, observer: RunObserver, ranks: Ranks) -> None:
        self.bound = LossBound(settings.spike_deviations)
        self._max_bad_steps = settings.max_bad_steps
        self._observer = observer
        self._ranks = ranks
        self._unread: list[_Unread] = []
        self._bad: list[tuple[int, str]] = []

    def add(self, step: int, result: StepResult, clip_ids: tuple[str, ...]) -> None:
        """Notes a step, and the clips of this rank in it."""
        self._unread.append(_Unread(step, result, clip_ids))

    def examine(self) -> None:
        """Reads the steps since the last time; all ranks must ask.

        Raises:
            BadSteps: too many of them in a row were bad.
        """
        unread, self._unread = self._unread, []
        for entry in unread:
            fault = self._fault(entry)
            self._bad = [*self._bad, (entry.step, fault)] if fault else []
            if len(self._bad) == self._max_bad_steps:
                bad, self._bad = self._bad, []
                raise BadSteps(bad)

    def _fault(self, entry: _Unread) -> str:
        """What was wrong with a step, which is told; nothing where it was good."""
        sums = self._ranks.sum_losses(entry.result.sums)
        loss = float((sums.channel_losses_C / sums.channel_targets_C).mean())
        if not entry.result.applied:
            self._tell(entry.step, f"{NOT_FINITE}: the weights were left as they are")
            return "its gradient was not finite"
        if math.isnan(loss):  # a step without targets
            return ""
        limit = self.bound.limit
        if not self.bound.is_jump(loss):
            return ""
        clips = ", ".join(entry.clip_ids)
        self._tell(entry.step, f"{JUMPED} to {loss:.2f}, above {limit:.2f}; clips: {clips}")
        return "its loss jumped"

    def _tell(self, step: int, message: str) -> None:
        self._observer.event(EventRecord(step, message))


class BadSteps(Exception):
    """So many bad steps in a row that it is time to do something."""

    def __init__(self, bad: list[tuple[int, str]]) -> None:
        self.first, self.last = bad[0][0], bad[-1][0]
        self.num_jumps = sum("jumped" in fault for _, fault in bad)
        self.num_not_finite = len(bad) - self.num_jumps
        super().__init__(f"steps {self.first} to {self.last}")

    def diagnosis(self) -> str:
        """What happened and what a person can do, in one line."""
        remedy = "resume from the last checkpoint with a lower train.lr"
        if self.num_not_finite:
            remedy += ", or with train.precision=fp32"
        if self.num_jumps:
            remedy += ", and look at the clips that the events of metrics.jsonl name"
        count = self.num_jumps + self.num_not_finite
        return (
            f"step {self.last}: {count} {BAD_STEPS} ({self.num_not_finite} gradients not "
            f"finite, {self.num_jumps} losses that jumped); {remedy}"
        )


def block_norms(model: DiaModel, result: StepResult, clip_norm: float) -> dict[str, float]:
    """Norm of the gradient of each layer, and of what is outside of layers, before clipping.

    Args:
        model: with the clipped gradients of the step.
        result: of the step.
        clip_norm: to which its gradient was clipped.
    """
    parts: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parts.setdefault(_block(name), []).append(parameter.grad)
    scale = max(1.0, result.grad_norm / clip_norm)
    norms = {}
    for block, gradients in parts.items():
        norm = torch.nn.utils.get_total_norm(gradients)
        norms[block] = float(norm.full_tensor() if isinstance(norm, DTensor) else norm) * scale
    return norms


def _block(name: str) -> str:
    """The layer that a parameter is of, else its module: "decoder.layers.3", "logits_dense"."""
    parts = name.removeprefix("model.").split(".")
    return ".".join(parts[: 3 if "layers" in parts[:2] else 2]).removesuffix(".weight")
