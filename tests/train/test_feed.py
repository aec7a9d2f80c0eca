"""The feed: every clip once per epoch, another order each time, the same stream from anywhere."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import pytest
from tiny_run import SPEC, write_corpus

from dialoom.data import Batch, Corpus, DiaDataset, LengthBucketSampler, collate
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import BatchFeed
from dialoom.train.ahead import made_ahead
from dialoom.train.feed import Position
from dialoom.train.shares import shares_of


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DiaDataset:
    path = write_corpus(tmp_path_factory.mktemp("c") / "corpus", num_clips=10, valid_fraction=0)
    return DiaDataset(Corpus.open(path), split="train")


def _feed(dataset: DiaDataset) -> BatchFeed:
    sampler = LengthBucketSampler(dataset.lengths, batch_size=3, seed=0)
    return BatchFeed(
        dataset,
        sampler,
        lambda clips: collate(
            clips,
            layout=TokenLayout(),
            tags=TagTable.default(),
            frames_per_second=SPEC.frames_per_second,
        ),
        fingerprint="the corpus",
    )


def test_every_clip_once_per_epoch_in_another_order(dataset: DiaDataset) -> None:
    feed = _feed(dataset)
    assert feed.batches_per_epoch == 4
    stream = [batch.clip_ids for batch in islice(iter(feed), 12)]
    epochs = [stream[start : start + 4] for start in (0, 4, 8)]
    for epoch in epochs:
        assert sorted(clip for batch in epoch for clip in batch) == sorted(
            dataset[i].id for i in range(10)
        )
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


@pytest.mark.parametrize("handed_out", range(9))
def test_the_stream_goes_on_from_any_position(dataset: DiaDataset, handed_out: int) -> None:
    expected = [batch.clip_ids for batch in islice(iter(_feed(dataset)), 12)]
    first = _feed(dataset)
    stream = iter(first)
    for _ in range(handed_out):
        next(stream)
    second = _feed(dataset)
    second.position = Position(first.position.epoch, first.position.batch)
    actual = [batch.clip_ids for batch in islice(iter(second), 12 - handed_out)]
    assert actual == expected[handed_out:]


def _unaltered(batch: Batch, step: int, number: int) -> Batch:
    return batch


def _steps(feed: BatchFeed, rank: int, world_size: int, accumulate: int) -> list[list[Batch]]:
    shares = shares_of(rank, world_size, accumulate)
    steps = feed.steps(0, shares, accumulate=accumulate, alter=_unaltered, pad_id=1025)
    with closing(steps):
        return list(islice(steps, 3))


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 2), (2, 2), (2, 3), (3, 2), (5, 1)])
def test_ranks_share_the_step_of_one(dataset: DiaDataset, world_size: int, accumulate: int) -> None:
    alone = _steps(_feed(dataset), 0, 1, accumulate)
    ranks = [_steps(_feed(dataset), rank, world_size, accumulate) for rank in range(world_size)]
    for number, step in enumerate(alone):
        parts = [rank[number] for rank in ranks]
        assert len({len(part) for part in parts}) == 1, "as many micro-batches on every rank"
        clips = [name for part in parts for batch in part for name in batch.clip_ids]
        assert sorted(clips) == sorted(name for batch in step for name in batch.clip_ids)
        targets = sum(batch.num_targets for part in parts for batch in part)
        assert targets == sum(batch.num_targets for batch in step)


def test_what_was_made_ahead_does_not_count(dataset: DiaDataset) -> None:
    feed = _feed(dataset)
    _steps(feed, 0, 1, 1)
    assert feed.position == Position(0, 3)
    expected = [batch.clip_ids for batch in islice(iter(_feed(dataset)), 6)]
    assert [batch.clip_ids for [batch] in _steps(feed, 0, 1, 1)] == expected[3:]


def test_mistakes_of_the_thread_are_raised_where_their_batch_was_due() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("a clip is damaged")

    ahead = made_ahead(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="a clip is damaged"):
        next(ahead)
    assert list(made_ahead(iter(range(9)), 2)) == list(range(9))


def test_largest_batch_is_found(dataset: DiaDataset) -> None:
    feed = _feed(dataset)
    cells = [batch.audio_mask_BT.numel() for batch in islice(iter(feed), feed.batches_per_epoch)]
    assert _feed(dataset).largest().audio_mask_BT.numel() == max(cells)


def test_largest_packed_batch_has_the_most_frames_and_no_padding() -> None:
    """Beside one long clip short ones cost little, where nothing is padded."""
    lengths = [100, 5, 60, 60]
    packed = LengthBucketSampler(lengths, batch_size=2, seed=0, packed=True)
    padded = LengthBucketSampler(lengths, batch_size=2, seed=0)
    assert (packed.cost([0, 1]), packed.cost([2, 3])) == (105, 120)
    assert (padded.cost([0, 1]), padded.cost([2, 3])) == (200, 120)
