"""EMA: the average of the weights over the last steps, smoother than any of them.

Polyak and Juditsky 1992, with the exponential weights that Tarvainen and Valpola (arXiv 1703.01780)
use: average ← d · average + (1 - d) · weights after every step, where d rises to its final value
with the number of steps n as (1 + n) / (10 + n), so that the first weights are soon forgotten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dialoom.train.settings import TrainSettings


def average_of(model: nn.Module, settings: TrainSettings) -> "WeightAverage | None":
    """The average that a recipe asks for; None where it asks for none."""
    if settings.ema_decay is None:
        return None
    return WeightAverage(model, decay=settings.ema_decay)


class WeightAverage:
    """Average of the weights that train, in their own type, beside them on their device."""

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Begins with the weights of the moment.

        Args:
            model: its parameters that need a gradient are averaged.
            decay: final d, in (0, 1).
        """
        self._decay = decay
        self._weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._weights.items()}
        self.num_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """After every optimizer step; only the device knows of one that left the weights."""
        self.num_updates += 1
        decay = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        average = list(self._average.values())
        torch._foreach_lerp_(average, list(self._weights.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold besides the weights that the model has at the moment.

        Inside `applied` these are the weights that train, outside the average.
        """
        tensors = {name: tensor.detach() for name, tensor in self._average.items()}
        return {"num_updates": self.num_updates, "tensors": tensors}

    @torch.no_grad()
    def restore(self, state: dict[str, Any], *, applied: bool) -> None:
        """Inverse of `state`, into a model with the weights of the checkpoint.

        Args:
            state: of a checkpoint.
            applied: whether it was taken inside `applied`, so that the model has the average.
        """
        self.num_updates = state["num_updates"]
        for name, tensor in state["tensors"].items():
            self._average[name].copy_(tensor)
        if applied:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            other: Tensor = weight.detach().clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(other)
