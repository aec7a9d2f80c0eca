"""Several corpora: shares of the seconds heard, every clip equally often, the same order again."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import SPEC, other_codec, write_corpus

from dialoom.data import LengthBucketSampler, MixedDataset, Mixture, choose_evenly, order_of
from dialoom.data.mixing import MixedOrder
from dialoom.errors import DataError

SIZES = (40, 7, 20)


class Lengths(MixedDataset):
    """A dataset of nothing but lengths."""

    def __init__(self, lengths: list[list[int]], weights: tuple[float, ...] | None) -> None:
        first = np.cumsum([0, *map(len, lengths)])
        self.lengths = [length for part in lengths for length in part]
        self.parts = tuple(range(a, b) for a, b in pairwise(first.tolist()))
        self.num_left_out = 0
        self._datasets = ()
        self.weights = weights


def three(weights: tuple[float, ...] | None, seed: int = 0) -> Lengths:
    rng = np.random.default_rng(seed)
    return Lengths([rng.integers(50, 1500, size).tolist() for size in SIZES], weights)


def heard(dataset: Lengths, epochs: range, seed: int = 0) -> list[int]:
    order = MixedOrder(dataset, seed=seed)
    return [int(i) for epoch in epochs for i in order(epoch)]


@given(st.tuples(*[st.floats(0.01, 10)] * 3), st.integers(1, 8), st.integers(0, 3))
@settings(max_examples=40)
def test_every_clip_of_a_corpus_is_heard_equally_often(
    weights: tuple[float, ...], num_epochs: int, seed: int
) -> None:
    dataset = three(weights)
    counts = Counter(heard(dataset, range(num_epochs), seed))
    for part in dataset.parts:
        times = [counts[i] for i in part]
        assert max(times) - min(times) <= 1


def test_weights_are_shares_of_the_seconds() -> None:
    dataset = three((3.0, 1.0, 0.5))
    lengths = np.array(dataset.lengths)
    num_epochs = 300
    frames = [0] * 3
    for i in heard(dataset, range(num_epochs)):
        frames[next(p for p, part in enumerate(dataset.parts) if i in part)] += lengths[i]
    shares = np.array(frames) / sum(frames)
    assert shares == pytest.approx(np.array([3.0, 1.0, 0.5]) / 4.5, rel=0.005)
    assert sum(frames) == pytest.approx(num_epochs * lengths.sum(), rel=0.005), "an epoch is all"


@pytest.mark.parametrize("weights", [None, "natural"])
def test_without_weights_or_with_natural_ones_an_epoch_has_every_clip_once(
    weights: str | None,
) -> None:
    dataset = three(None)
    if weights:
        frames = [sum(dataset.lengths[i] for i in part) for part in dataset.parts]
        dataset.weights = tuple(float(count) for count in frames)
    for epoch in range(5):
        assert sorted(heard(dataset, range(epoch, epoch + 1))) == list(range(sum(SIZES)))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    dataset = three((1.0, 1.0, 1.0))
    order = MixedOrder(dataset, seed=0)
    order(0)
    assert order(3).tolist() == heard(dataset, range(3, 4))
    assert order(0).tolist() != order(1).tolist()
    assert order(0).tolist() != heard(dataset, range(1), seed=1)


def test_each_corpus_is_spread_over_the_epoch() -> None:
    """A small corpus heard often does not meet itself in one batch."""
    dataset = Lengths([[100] * 2000, [100] * 100], (1.0, 1.0))
    order = MixedOrder(dataset, seed=0)(0)
    assert len(order) == 2100
    tenths = [int((part >= 2000).sum()) for part in np.split(order, 10)]
    assert all(90 <= count <= 120 for count in tenths), tenths
    small = order[order >= 2000]
    assert all(len(set(small[i : i + 100])) == 100 for i in range(0, 1000, 100))


def test_the_sampler_batches_what_the_order_draws() -> None:
    dataset = three((1.0, 5.0, 1.0))
    sampler = LengthBucketSampler(
        dataset.lengths, batch_size=4, seed=0, order=order_of(dataset, seed=0)
    )
    for epoch in range(3):
        batched = sorted(i for batch in sampler.epoch_batches(epoch) for i in batch)
        assert batched == sorted(heard(dataset, range(epoch, epoch + 1)))
    assert max(Counter(batched).values()) > 1


def test_validation_clips_come_from_all(tmp_path: Path) -> None:
    dataset = three(None)
    parts = Counter(
        next(p for p, part in enumerate(dataset.parts) if i in part)
        for i in choose_evenly(dataset, 10)
    )
    assert parts == {0: 6, 1: 1, 2: 3}
    weighted = three((1.0, 8.0, 1.0))
    chosen = choose_evenly(weighted, 12)
    assert len(chosen) == len(set(chosen)) == 12
    assert set(weighted.parts[1]) <= set(chosen), "its share is more than it has"
    assert len(choose_evenly(dataset, 1000)) == sum(SIZES)
    assert choose_evenly(dataset, 0) == []


def test_of_one_corpus_clips_of_all_lengths_are_chosen(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "c", lengths=[30, 10, 20, 40])
    dataset = Mixture.open([(path, None)]).dataset(split="train")
    assert order_of(dataset, seed=0) is None
    assert choose_evenly(dataset, 2) == [1, 0]
    assert choose_evenly(dataset, 9) == [1, 2, 0, 3]


def test_clips_keep_their_content_and_their_ids_stay_apart(tmp_path: Path) -> None:
    paths = [write_corpus(tmp_path / name, lengths=[10, 20]) for name in ("a/corpus", "b/corpus")]
    paths.append(write_corpus(tmp_path / "third", lengths=[30, 15]))
    mixture = Mixture.open([(path, None) for path in paths])
    dataset = mixture.dataset(split="train")
    assert dataset.lengths == [10, 20, 10, 20, 30, 15]
    ids = [dataset[i].id for i in range(len(dataset))]
    assert ids[1:3] == ["1-corpus/clip-1", "2-corpus/clip-0"]
    assert len(set(ids)) == 6
    expected = mixture.corpora[2][0]
    assert np.array_equal(dataset[4].codes.frames, expected.codes.frames)
    assert replace(dataset[4], id="clip-0", codes=expected.codes) == expected
    assert dataset.languages == ["en"]
    assert mixture.hours == pytest.approx(105 / SPEC.frames_per_second / 3600)
    with pytest.raises(IndexError):
        dataset[6]
    assert mixture.dataset(split="train", max_seconds=0.2).num_left_out == 3


def test_the_fingerprint_covers_corpora_order_and_weights(tmp_path: Path) -> None:
    a, b = (write_corpus(tmp_path / name, num_clips=n) for name, n in (("a", 3), ("b", 4)))
    single = Mixture.open([(a, None)])
    assert single.fingerprint == single.corpora[0].fingerprint
    shares = [[(a, None)], [(a, None), (b, None)], [(b, None), (a, None)]]
    shares += [[(a, 1.0), (b, 2.0)], [(a, 2.0), (b, 1.0)]]
    assert len({Mixture.open(share).fingerprint for share in shares}) == 5


def test_corpora_of_two_codecs_are_refused(tmp_path: Path) -> None:
    a = write_corpus(tmp_path / "a", num_clips=3)
    b = write_corpus(tmp_path / "b", num_clips=3, spec=other_codec())
    with pytest.raises(DataError, match=r"need one codec, that of .*/a: .*/b: its codes were made"):
        Mixture.open([(a, None), (b, None)])


def test_a_corpus_without_training_clips_is_named(tmp_path: Path) -> None:
    a = write_corpus(tmp_path / "a", lengths=[10])
    b = write_corpus(tmp_path / "b", lengths=[1000])
    mixture = Mixture.open([(a, 1.0), (b, 1.0)])
    with pytest.raises(DataError, match="/b: of 1 clips of split 'train' none is within"):
        mixture.dataset(split="train", max_seconds=1.0)
    assert len(mixture.dataset(split="valid", may_be_empty=True)) == 0
