"""Which clips go together: batches of similar length waste little on padding."""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from jaxtyping import Int32, Int64

EpochOrder = Callable[[int], Int64[np.ndarray, " num_drawn"]]
"""Epoch → the clips that it has, in a random order."""

BATCHES_PER_CHUNK = 50
"""Clips are sorted by length only within chunks of this many batches: longer chunks pad less,
shorter ones mix better."""


TEXT_COST = 0.25
"""Frames that a byte of text counts for: in Dia-1.6B it passes 276 M weights, a frame 1,260 M."""


class LengthBucketSampler:
    """Batches of clip indices; every clip exactly once per epoch, unless an order says otherwise.

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
        order: EpochOrder | None = None,
        text_lengths: Sequence[int] | None = None,
        packed: bool = False,
    ) -> None:
        """Takes the length of every clip.

        Args:
            lengths: frames of each clip.
            batch_size: clips per batch; the last of a chunk may have fewer.
            seed: of the order.
            order: which clips an epoch has, such as a `MixedOrder`.
            max_frames: frames per batch with padding, the text's by its cost; a clip that alone
                has more stands alone.
            text_lengths: bytes of each text; None to count no text.
            packed: whether clips are packed instead of padded.
        """
        assert batch_size > 0, batch_size
        self._lengths = np.asarray(lengths, dtype=np.int32)
        self._batch_size = batch_size
        self._seed = seed
        self._max_frames = max_frames
        self._order = order
        self._text_lengths = np.zeros_like(self._lengths)
        if text_lengths is not None:
            self._text_lengths = np.asarray(text_lengths, dtype=np.int32)
        self._packed = packed

    def epoch_batches(self, epoch: int) -> "EpochBatches":
        """All batches of one epoch, in order."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._order is None:
            order = rng.permutation(np.arange(len(self._lengths), dtype=np.int32))
        else:
            order = self._order(epoch).astype(np.int32)
        chunk_size = self._batch_size * BATCHES_PER_CHUNK
        starts: list[int] = []
        for start in range(0, len(order), chunk_size):
            chunk = order[start : start + chunk_size]  # a view: sorted in place
            if not self._packed:
                chunk[:] = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            starts += [start + place for place in self._divide(chunk)]
        return EpochBatches(order, np.array([*starts, len(order)]), rng.permutation(len(starts)))

    def cost(self, clips: Sequence[int]) -> float:
        """Frames of a batch of these clips with padding, the text's by its cost."""
        frames, text = self._lengths[list(clips)], self._text_lengths[list(clips)]
        if self._packed:
            return self._cost(len(clips), int(frames.sum()), int(text.sum()))
        return self._cost(len(clips), int(frames.max()), int(text.max()))

    def _cost(self, size: int, frames: int, text: int) -> float:
        """Of sums over the clips where they are packed, of the greatest where they are padded."""
        cost = frames + TEXT_COST * text
        return cost if self._packed else size * cost

    def _divide(self, clips: Int32[np.ndarray, " chunk"]) -> Iterator[int]:
        """Where in a chunk each batch starts: as soon as the one before is full."""
        size, frames, text = 0, 0, 0
        measured = zip(
            self._lengths[clips].tolist(), self._text_lengths[clips].tolist(), strict=True
        )
        for place, (clip_frames, clip_text) in enumerate(measured):
            if self._packed:
                size, frames, text = size + 1, frames + clip_frames, text + clip_text
            else:
                size, frames, text = size + 1, max(frames, clip_frames), max(text, clip_text)
            too_long = (
                self._max_frames is not None and self._cost(size, frames, text) > self._max_frames
            )
            if place == 0 or size > self._batch_size or (too_long and size > 1):
                yield place
                size, frames, text = 1, clip_frames, clip_text


class EpochBatches(Sequence[list[int]]):
    """The batches of an epoch, as one array of clips: lists of lists would take ten times as much.

    Args:
        order: clips, batch after batch.
        bounds: where in it each batch starts, and its end.
        turns: in which order the batches come.
    """

    def __init__(
        self,
        order: Int32[np.ndarray, " num_drawn"],
        bounds: Int64[np.ndarray, " num_batches_1"],
        turns: Int64[np.ndarray, " num_batches"],
    ) -> None:
        self._order = order
        self._bounds = bounds
        self._turns = turns

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        turn = self._turns[index]
        clips: list[int] = self._order[self._bounds[turn] : self._bounds[turn + 1]].tolist()
        return clips
