"""Which checkpoint is best, and when it is time to stop because none is better any more."""

import math
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

from dialoom.observe import SpeechRecord, ValidRecord

Figure = tuple[float, ...]
"""Less is better; where the first numbers are equal, the next decides."""

LOSS_FIGURES: Mapping[str, Callable[[ValidRecord], Figure]] = {
    "loss": lambda record: (record.loss,),
    "loss_channel_0": lambda record: (record.loss_channels[0],),
    "eos_loss": lambda record: (record.eos_loss,),
    "accuracy": lambda record: (-mean(record.accuracy_channels),),
}
"""What a checkpoint may be best by, on the validation clips."""

SPEECH_FIGURES: Mapping[str, Callable[[SpeechRecord], Figure]] = {
    "distortion": lambda record: (record.distortion_db,),
    "retrieval": lambda record: (-record.retrieval, record.distortion_db),
    "stopped": lambda record: (-record.stopped, record.distortion_db),
    "length": lambda record: (-record.length, record.distortion_db),
}
"""The same by what is heard. Shares of a few clips are often equal: then the distortion decides."""


class Best:
    """Remembers the best figure so far, and for how many measurements none was better.

    Attributes:
        step: of the best figure; 0 before the first.
        waited: measurements since then.
    """

    def __init__(self, name: str, patience: int | None) -> None:
        """Takes the name of the figure, and the measurements to wait for a better one."""
        self.name = name
        self.step = 0
        self.waited = 0
        self._patience = patience
        self._figure: Figure = (math.inf,)

    @property
    def is_heard(self) -> bool:
        """Whether speech has to be measured for it."""
        return self.name in SPEECH_FIGURES

    @property
    def is_final(self) -> bool:
        """Whether the patience is at its end."""
        return self._patience is not None and self.waited >= self._patience

    def see(self, record: ValidRecord | SpeechRecord) -> bool:
        """Whether the record is the best so far; no matter where it has another figure.

        What is not a number is worse than any number.
        """
        if isinstance(record, ValidRecord):
            if self.is_heard:
                return False
            figure = LOSS_FIGURES[self.name](record)
        else:
            if not self.is_heard:
                return False
            figure = SPEECH_FIGURES[self.name](record)
        figure = tuple(math.inf if math.isnan(number) else number for number in figure)
        is_best = figure < self._figure
        if is_best:
            self._figure, self.step, self.waited = figure, record.step, 0
        else:
            self.waited += 1
        return is_best

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        return {
            "by": self.name,
            "figure": list(self._figure),
            "step": self.step,
            "waited": self.waited,
        }

    def restore(self, state: Mapping[str, Any] | float) -> None:
        """Inverse of `state`; a run that goes on by another figure begins to look anew.

        Checkpoints of early versions have the figure alone.
        """
        if isinstance(state, float):
            self._figure = (state,)
        elif state["by"] == self.name:
            self._figure = tuple(state["figure"])
            self.step, self.waited = state["step"], state["waited"]
