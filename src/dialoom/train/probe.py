"""Probe: the trainer's ear, which whoever wires a run lends to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from dialoom.model import DiaModel
from dialoom.observe import SampleRecord


@dataclass(frozen=True)
class Spoken:
    """A sentence that the model said during training."""

    record: SampleRecord
    samples: Float32[np.ndarray, " N"]
    sample_rate_hz: int


@runtime_checkable
class Probe(Protocol):
    """Lets the model of the moment speak; what it raises is noted and never stops the training."""

    def __call__(self, model: DiaModel, step: int) -> Iterator[Spoken]: ...
