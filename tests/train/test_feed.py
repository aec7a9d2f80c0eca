"""The feed: every clip once per epoch, another order each time, the same stream from anywhere."""

from itertools import islice

import pytest
from tiny_run import SPEC, write_corpus

from dialoom.data import Corpus, DiaDataset, LengthBucketSampler, collate
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import BatchFeed
from dialoom.train.feed import Position


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
