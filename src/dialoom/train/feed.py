"""Endless training batches from any position: the position is all that resuming needs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dialoom.data import Batch, Clip, Clips, LengthBucketSampler

Collate = Callable[[Sequence[Clip]], Batch]


@dataclass(frozen=True)
class Position:
    """Where in the data a run is.

    Attributes:
        epoch: passes finished.
        batch: batches of the present pass that are done.
    """

    epoch: int = 0
    batch: int = 0


class BatchFeed:
    """Batches of a dataset, epoch after epoch, in an order that only seed and position decide."""

    def __init__(
        self,
        dataset: Clips,
        sampler: LengthBucketSampler,
        collate: Collate,
        *,
        fingerprint: str,
    ) -> None:
        """Takes the clips, their order, and the fingerprint of the corpus that they are from."""
        self.fingerprint = fingerprint
        self._dataset = dataset
        self._sampler = sampler
        self._collate = collate
        self.position = Position()

    @cached_property
    def batches_per_epoch(self) -> int:
        """Of the first epoch; with a frame budget later ones may differ by a few."""
        return len(self._sampler.epoch_batches(0))

    def __iter__(self) -> Iterator[Batch]:
        """Goes on from `position`, which each batch moves as it is handed out."""
        while True:
            epoch, done = self.position.epoch, self.position.batch
            for number, indices in enumerate(self._sampler.epoch_batches(epoch)[done:], done + 1):
                self.position = Position(epoch, number)
                yield self._collate([self._dataset[index] for index in indices])
            self.position = Position(epoch + 1, 0)
