"""Out of memory is not the end: micro-batches are halved until they fit.

The gradient of a step is a sum over its clips, so it does not matter how they are cut: a step that
runs out of memory starts again with smaller micro-batches and ends in the same update.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from dialoom.data import Batch, take_clips
from dialoom.errors import TrainingError

_SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What the RuntimeErrors say that stand for an allocation that failed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is one of the many forms that a lack of memory has."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class MemoryBudget:
    """The largest micro-batch that is tried, learnt from those that did not fit.

    Attributes:
        max_cells: decoder steps of a micro-batch, padding included; None while all have fitted.
    """

    def __init__(self, *, pad_id: int, max_cells: int | None = None) -> None:
        """Takes the layout's id to pad with, and a limit to begin with."""
        self.max_cells = max_cells
        self.report: Callable[[str], None] = lambda message: None
        self._pad_id = pad_id
        self._skipped: set[str] = set()

    def lower(self, max_cells: int | None) -> None:
        """Takes a limit over that is below the present one; None is no limit."""
        if max_cells is not None:
            self.max_cells = min(self.max_cells or max_cells, max_cells)

    def divide(self, batches: Sequence[Batch]) -> list[Batch]:
        """The same clips in micro-batches within the budget, without those that never fit."""
        return [piece for batch in batches for piece in self._divide(batch)]

    def shrink(self, batch: Batch) -> None:
        """Notes that a micro-batch did not fit, and says so.

        Raises:
            TrainingError: it was one without clips, which cannot be made smaller.
        """
        if not batch.clip_ids:
            raise TrainingError(
                "out of memory with a single short clip: the model itself does not fit; take "
                "train.lora, train.optimizer=adamw8bit or train.parallel=fsdp"
            )
        if len(batch.clip_ids) == 1:
            self._skipped.add(batch.clip_ids[0])
            self.report(
                f"out of memory: clip {batch.clip_ids[0]} of {batch.audio_seconds:.1f} s does not "
                "fit even alone and is left out; leave all such clips out with "
                f"data.max_seconds={batch.audio_seconds * 0.95:.1f}"
            )
            return
        self.max_cells = max(_cells(half) for half in self._halves(batch))
        self.report(
            f"out of memory with {_cells(batch)} decoder steps at once: at most {self.max_cells} "
            "from here on, with the same gradient; "
            f"train.memory_steps={self.max_cells} says so from the start, and a smaller "
            "data.max_seconds makes room"
        )

    def _divide(self, batch: Batch) -> list[Batch]:
        kept = [i for i, name in enumerate(batch.clip_ids) if name not in self._skipped]
        if len(kept) < len(batch.clip_ids):
            if not kept:
                return []
            batch = take_clips(batch, kept, pad_id=self._pad_id)
        if self.max_cells is None or _cells(batch) <= self.max_cells or len(batch.clip_ids) < 2:
            return [batch]
        return self.divide(self._halves(batch))

    def _halves(self, batch: Batch) -> list[Batch]:
        count = len(batch.clip_ids)
        parts = range(count // 2), range(count // 2, count)
        return [take_clips(batch, part, pad_id=self._pad_id) for part in parts]


@contextmanager
def refuse_out_of_memory() -> Iterator[None]:
    """For whatever no smaller micro-batch makes smaller: weights, moments, validation.

    Raises:
        TrainingError: memory ended inside the block; one line that says what to do.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "out of memory outside of the micro-batches: weights, the moments of the optimizer or "
            "the validation do not fit; take train.optimizer=adamw8bit and train.weights=bf16, "
            "train.lora, train.parallel=fsdp or a smaller batch; `dialoom plan` says what is large"
        ) from None


def free_memory() -> None:
    """Gives back what the failed attempt held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _cells(batch: Batch) -> int:
    return batch.audio_BTC.shape[0] * batch.audio_BTC.shape[1]
