"""Which clips go together: batches of similar length waste little on padding."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

EpochOrder = Callable[[int], Int64[np.ndarray, " num_drawn"]]
"""Epoch → the clips that it has, in a random order."""

BATCHES_PER_CHUNK = 50
"""Clips are sorted by length only within chunks of this many batches: longer chunks pad less,
shorter ones mix better."""


class LengthBucketSampler:
    """Batches of clip indices; every clip exactly once per epoch, unless an order says otherwise.

    The order is a pure function of the seed and the epoch, so a resumed run goes on in it.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        max_frames: int | None = None,
        order: EpochOrder | None = None,
    ) -> None:
        """Takes the length of every clip.

        Args:
            lengths: frames of each clip.
            batch_size: clips per batch; the last of a chunk may have fewer.
            seed: of the order.
            max_frames: frames per batch with padding; a clip that alone has more stands alone.
            order: which clips an epoch has, such as a `MixedOrder`.
        """
        assert batch_size > 0, batch_size
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._max_frames = max_frames
        self._order = order

    def epoch_batches(self, epoch: int) -> list[list[int]]:
        """All batches of one epoch, in order."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._order is None:
            order = rng.permutation(len(self._lengths))
        else:
            order = self._order(epoch)
        chunk_size = self._batch_size * BATCHES_PER_CHUNK
        batches: list[list[int]] = []
        for start in range(0, len(order), chunk_size):
            chunk = order[start : start + chunk_size]
            by_length = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += self._divide([int(i) for i in by_length])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _divide(self, by_length: list[int]) -> list[list[int]]:
        """Consecutive batches, closed when full; lengths rise, so the newest sets the padding."""
        batches: list[list[int]] = []
        for index in by_length:
            batch = batches[-1] if batches else []
            frames = (len(batch) + 1) * int(self._lengths[index])
            too_long = self._max_frames is not None and frames > self._max_frames
            if not batch or len(batch) == self._batch_size or too_long:
                batches.append([index])
            else:
                batch.append(index)
        return batches
