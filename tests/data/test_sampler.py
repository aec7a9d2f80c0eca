"""Every clip once per epoch, similar lengths together, the order a function of seed and epoch."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoom.data import LengthBucketSampler

LENGTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 3), st.none() | st.integers(1, 5000))
@settings(max_examples=50)
def test_every_clip_exactly_once(
    lengths: list[int], batch_size: int, epoch: int, max_frames: int | None
) -> None:
    sampler = LengthBucketSampler(lengths, batch_size=batch_size, seed=1, max_frames=max_frames)
    batches = sampler.epoch_batches(epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        padded = len(batch) * max(lengths[i] for i in batch)
        assert max_frames is None or padded <= max_frames or len(batch) == 1


def test_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = list(range(1, 101))

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [*LengthBucketSampler(lengths, batch_size=4, seed=seed).epoch_batches(epoch)]

    sampler = LengthBucketSampler(lengths, batch_size=4, seed=0)
    sampler.epoch_batches(0)
    assert [*sampler.epoch_batches(3)] == order(0, 3), "no state between the epochs"
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_similar_lengths_are_together_in_random_order() -> None:
    lengths = np.random.default_rng(0).integers(80, 1500, 1000).tolist()
    batches = LengthBucketSampler(lengths, batch_size=8, seed=0).epoch_batches(0)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert sum(lengths) / padded > 0.95
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.3, "batches are shuffled"


@given(LENGTHS, st.integers(1, 16), st.integers(1, 5000))
@settings(max_examples=50)
def test_packed_batches_hold_every_clip_within_the_budget(
    lengths: list[int], batch_size: int, max_frames: int
) -> None:
    sampler = LengthBucketSampler(
        lengths, batch_size=batch_size, seed=1, max_frames=max_frames, packed=True
    )
    batches = sampler.epoch_batches(2)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert sum(lengths[i] for i in batch) <= max_frames or len(batch) == 1


def test_packed_batches_are_of_any_lengths() -> None:
    lengths = np.random.default_rng(0).integers(80, 1500, 1000).tolist()
    batches = LengthBucketSampler(lengths, batch_size=8, seed=0, packed=True).epoch_batches(0)
    spread = [np.std([lengths[i] for i in batch]) for batch in batches]
    assert np.mean(spread) > 0.7 * np.std(lengths), "nothing sorts them"


def test_text_counts_in_the_budget() -> None:
    """Eight bytes cost as much as two frames, so long texts make room for fewer clips."""
    for packed in (False, True):
        divide = partial(
            LengthBucketSampler, [10] * 12, batch_size=12, seed=0, max_frames=36, packed=packed
        )
        assert {len(batch) for batch in divide().epoch_batches(0)} == {3}
        assert {len(b) for b in divide(text_lengths=[8] * 12).epoch_batches(0)} == {3}
        assert {len(b) for b in divide(text_lengths=[12] * 12).epoch_batches(0)} == {2}


def test_padding_is_under_two_percent_of_speech_of_2_to_12_seconds() -> None:
    lengths = np.random.default_rng(0).integers(172, 1034, 2000).tolist()
    sampler = LengthBucketSampler(lengths, batch_size=32, seed=0, max_frames=4800)
    batches = sampler.epoch_batches(0)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert 1 - sum(lengths) / padded < 0.02


def test_an_epochs_batches_are_a_sequence_of_little_memory() -> None:
    lengths = np.random.default_rng(0).integers(172, 1034, 20_000).tolist()
    sampler = LengthBucketSampler(lengths, batch_size=64, seed=0, max_frames=4800, packed=True)
    tracemalloc.start()
    batches = sampler.epoch_batches(0)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 8 * len(lengths)
    assert batches[-1] == batches[len(batches) - 1] == list(batches)[-1]
    assert batches[3:5] == [batches[3], batches[4]]
    with pytest.raises(IndexError):
        batches[len(batches)]
