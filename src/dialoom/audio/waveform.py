"""Waveform: mono samples and their rate, the form in which all audio moves through dialoom."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class Waveform:
    """Mono audio.

    Attributes:
        samples: (N,) float32, full scale is ±1.
        sample_rate_hz: samples per second.
    """

    samples: Float32[np.ndarray, " N"]
    sample_rate_hz: int

    @property
    def num_samples(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate_hz
