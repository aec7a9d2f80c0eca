"""Endless training batches from any position: the position is all that resuming needs."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from dialoom.data import Batch, Clip, Clips, LengthBucketSampler
from dialoom.train.ahead import made_ahead
from dialoom.train.shares import Share, take_share

Collate = Callable[[Sequence[Clip]], Batch]
Alter = Callable[[Batch, int, int], Batch]
"""What is done to a micro-batch, told the step and its number in it; dropout."""

STEPS_AHEAD = 2
"""Steps whose batches are made while the present one is computed."""


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

    def largest(self) -> Batch:
        """The batch of the first epoch that takes the most memory, padding included."""
        return self._load(max(self._sampler.epoch_batches(0), key=self._sampler.cost))

    def __iter__(self) -> Iterator[Batch]:
        """Goes on from `position`, which each batch moves as it is handed out."""
        for position, indices in self._groups():
            self.position = position
            yield self._load(indices)

    def steps(
        self,
        first_step: int,
        shares: Sequence[Share],
        *,
        accumulate: int,
        alter: Alter,
        pad_id: int,
    ) -> Generator[list[Batch], None, None]:
        """The micro-batches of this rank, step after step, made ahead by a thread.

        Goes on from `position`, which each step moves as it is handed out: what was made ahead of
        it and never used does not count.

        Args:
            first_step: number of the first step, as `alter` is told it.
            shares: which micro-batches of a step are this rank's.
            accumulate: micro-batches of a step over all ranks.
            alter: applied to each whole micro-batch before it is divided among ranks.
            pad_id: of the layout.
        """

        def make() -> Iterator[tuple[Position, list[Batch]]]:
            groups = self._groups()
            step = first_step
            while step_groups := list(islice(groups, accumulate)):
                batches = [
                    take_share(alter(self._load(indices), step, share.number), share, pad_id)
                    for share in shares
                    for _, indices in [step_groups[share.number]]
                ]
                yield step_groups[-1][0], batches
                step += 1

        for position, batches in made_ahead(make(), STEPS_AHEAD):
            self.position = position
            yield batches

    def _groups(self) -> Iterator[tuple[Position, list[int]]]:
        """Clips of every batch, and the position behind it; endless."""
        epoch, done = self.position.epoch, self.position.batch
        while True:
            batches = self._sampler.epoch_batches(epoch)
            for number in range(done, len(batches)):
                yield Position(epoch, number + 1), batches[number]
            epoch, done = epoch + 1, 0

    def _load(self, indices: Sequence[int]) -> Batch:
        return self._collate([self._dataset[index] for index in indices])
