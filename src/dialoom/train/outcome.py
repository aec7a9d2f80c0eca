"""How a run ended."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: optimizer steps done.
        finished: by itself; False where it was asked to stop.
        best_loss: lowest validation loss after step 0, nats per target; None if there was none.
    """

    step: int
    finished: bool
    best_loss: float | None
