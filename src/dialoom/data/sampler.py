"""Which clips go together: batches of similar length waste little on padding."""

from collections.abc import Sequence

import numpy as np

BATCHES_PER_CHUNK = 50
"""Clips are sorted by length only within chunks of this many batches: longer chunks pad less,
shorter ones mix better."""


TEXT_COST = 0.25
"""Frames that a byte of text counts for: in Dia-1.6B it passes 276 M weights, a frame 1,260 M."""


class LengthBucketSampler:
    """Batches of clip indices; every clip exactly once per epoch.

    Padded batches hold clips of about one length. Packed ones have no padding to save on, so any
    clips go together, and an epoch is as mixed as can be.

    The order is a pure function of the seed and the epoch, so a resumed run goes on in it.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        max_frames: int | None = None,
        text_lengths: Sequence[int] | None = None,
        packed: bool = False,
    ) -> None:
        """Takes the length of every clip.

        Args:
            lengths: frames of each clip.
            batch_size: clips per batch; the last of a chunk may have fewer.
            seed: of the order.
            max_frames: frames per batch with padding, the text's by its cost; a clip that alone
                has more stands alone.
            text_lengths: bytes of each text; None to count no text.
            packed: whether clips are packed instead of padded.
        """
        assert batch_size > 0, batch_size
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._max_frames = max_frames
        self._text_lengths = np.zeros_like(self._lengths)
        if text_lengths is not None:
            self._text_lengths = np.asarray(text_lengths)
        self._packed = packed

    def epoch_batches(self, epoch: int) -> list[list[int]]:
        """All batches of one epoch, in order."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._lengths))
        chunk_size = self._batch_size * BATCHES_PER_CHUNK
        batches: list[list[int]] = []
        for start in range(0, len(order), chunk_size):
            chunk = order[start : start + chunk_size]
            if not self._packed:
                chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += self._divide([int(i) for i in chunk])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _divide(self, indices: list[int]) -> list[list[int]]:
        """Consecutive batches, closed when full."""
        batches: list[list[int]] = []
        for index in indices:
            batch = [*batches[-1], index] if batches else [index]
            too_long = self._max_frames is not None and self._frames(batch) > self._max_frames
            if not batches or len(batch) > self._batch_size or too_long:
                batches.append([index])
            else:
                batches[-1] = batch
        return batches

    def _frames(self, batch: list[int]) -> float:
        """What a batch costs, in frames."""
        frames, text = self._lengths[batch], self._text_lengths[batch]
        if self._packed:
            return float(frames.sum() + TEXT_COST * text.sum())
        return float(len(batch) * (frames.max() + TEXT_COST * text.max()))
