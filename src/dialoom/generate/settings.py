"""How to speak: one frozen object of sampling settings."""

from dataclasses import dataclass

from dialoom.errors import GenerationError

LARGEST = 1000
"""Of temperature and guidance: far above what is of use, and far below what overflows."""


@dataclass(frozen=True)
class SamplingSettings:
    """Defaults are those that Dia's makers recommend.

    Attributes:
        temperature: 0 is greedy; Dia's samples live at 1.2 … 1.8.
        top_p: nucleus, 1 is off.
        top_k: how many ids of a channel guidance lets through; 0 is all of them.
        cfg_scale: strength of classifier-free guidance; 0 is off and saves half the work.
        max_seconds: speech is ended there, if it does not end by itself; None is the model's limit.
        seed: the same seed, text and settings give the same codes.
    """

    temperature: float = 1.3
    top_p: float = 0.95
    top_k: int = 45
    cfg_scale: float = 3.0
    max_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        warm = 0 <= self.temperature <= LARGEST
        _check("temperature", self.temperature, warm, f"0 (greedy) to {LARGEST}")
        _check("top-p", self.top_p, 0 < self.top_p <= 1, "more than 0, at most 1")
        _check("top-k", self.top_k, self.top_k >= 0, "0 (all) or more")
        guided = 0 <= self.cfg_scale <= LARGEST
        _check("cfg-scale", self.cfg_scale, guided, f"0 (off) to {LARGEST}")
        _check("seed", self.seed, 0 <= self.seed < 2**62, "0 or more, and below 2**62")
        if self.max_seconds is not None:
            finite = 0 < self.max_seconds < float("inf")
            _check("max-seconds", self.max_seconds, finite, "more than 0, and finite")


def _check(name: str, value: float, holds: bool, rule: str) -> None:
    if not holds:  # also for NaN, which no comparison holds for
        raise GenerationError(f"{name} is {value}: it must be {rule}")
