"""Probe: the trainer's ear, which whoever wires a run lends to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from dialoom.model import DiaModel
from dialoom.observe import SampleRecord, SpeechRecord


@dataclass(frozen=True)
class Spoken:
    """A sentence that the model said during training."""

    record: SampleRecord
    samples: Float32[np.ndarray, " N"]
    sample_rate_hz: int


@runtime_checkable
class Probe(Protocol):
    """Lets the model of the moment speak; what it raises is noted and never stops the training."""

    def __call__(self, model: DiaModel, step: int) -> Iterator[Spoken]:
        """Sentences to be heard."""
        ...

    def measure(self, model: DiaModel, step: int) -> SpeechRecord | None:
        """Validation texts, measured against their clips; None where there are none."""
        ...
