"""AdamW with states in 8 bits, 2 bytes a weight for 8, and stochastic rounding of bf16 weights.

torchao's, after Dettmers et al. (arXiv 2110.02861): blocks of 256 values share a scale, each value
is an index into a table of 256 that is dense near zero. An update of a bf16 weight is computed in
fp32 and rounded up or down with the probability of its distance, so that its mean is right although
bf16 has but 8 bits (Zamirai et al., arXiv 2010.06192). Import this module only where it is used: it
needs torchao, whose import takes a second.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def _silence() -> Iterator[None]:
    """Its import warns of kernels for other hardware than this."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


with _silence():
    from torchao.optim import AdamW8bit as TorchaoAdamW8bit
    from torchao.optim.subclass_8bit import OptimState8bit

_PARTS = ("codes", "scale", "qmap")


class AdamW8bit(TorchaoAdamW8bit):  # type: ignore[misc]  # torchao has no types
    """torchao's, whose state is plain tensors in a checkpoint, which need no class to be read."""

    def __init__(self, params: Any, *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=0.0, bf16_stochastic_round=True)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = super().state_dict()
        return {**state, "state": _each(state["state"], _to_plain)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        super().load_state_dict({**state_dict, "state": _each(state_dict["state"], _from_plain)})


def _each(states: dict[int, dict[str, Any]], change: Any) -> dict[int, dict[str, Any]]:
    return {
        number: {name: change(value) for name, value in state.items()}
        for number, state in states.items()
    }


def _to_plain(value: Any) -> Any:
    if not isinstance(value, OptimState8bit):
        return value
    parts: dict[str, Tensor] = {name: getattr(value, name) for name in _PARTS}
    return {**parts, "signed": value.signed, "dtype": value.dtype}


def _from_plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = (value[name].clone() for name in _PARTS)
    return OptimState8bit(*parts, value["signed"], value["dtype"])
