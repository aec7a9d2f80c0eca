"""Dynamic time warping against all paths, written out."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoom.evaluate import alignment
from dialoom.evaluate.alignment import frame_distances, warped_distances

lengths = st.integers(1, 6)


def sequence(seed: int, num_frames: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_frames, 3))


def brute_force(query: np.ndarray, reference: np.ndarray) -> float:
    """The symmetric form of Sakoe and Chiba, every path tried."""
    costs = np.linalg.norm(query[:, None] - reference[None], axis=-1)

    def best(i: int, j: int) -> float:
        if i == 0 and j == 0:
            return 2 * costs[0, 0]
        ways = []
        if i:
            ways.append(best(i - 1, j) + costs[i, j])
        if j:
            ways.append(best(i, j - 1) + costs[i, j])
        if i and j:
            ways.append(best(i - 1, j - 1) + 2 * costs[i, j])
        return min(ways)

    return best(len(query) - 1, len(reference) - 1) / (len(query) + len(reference))


@given(lengths, st.lists(lengths, min_size=1, max_size=4), st.integers(0, 1000))
def test_it_finds_the_best_path_for_every_reference_of_a_lot(
    query_length: int, reference_lengths: list[int], seed: int
) -> None:
    query = sequence(seed, query_length)
    references = [sequence(seed + 1 + i, n) for i, n in enumerate(reference_lengths)]
    expected = [brute_force(query, reference) for reference in references]
    assert warped_distances(query, references) == pytest.approx(expected, rel=1e-5)


@given(lengths, lengths, st.integers(0, 1000))
def test_it_is_symmetric(left_length: int, right_length: int, seed: int) -> None:
    left, right = sequence(seed, left_length), sequence(seed + 1, right_length)
    there, back = warped_distances(left, [right]), warped_distances(right, [left])
    assert there == pytest.approx(back)


def test_a_sequence_that_waits_is_the_same_sequence() -> None:
    steps = sequence(0, 8)
    slow = np.repeat(steps, [1, 3, 1, 2, 5, 1, 1, 2], axis=0)
    assert warped_distances(slow, [steps]) == pytest.approx([0], abs=1e-5)


def test_lots_are_divided_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    query, references = sequence(0, 20), [sequence(i, 5 + 3 * i) for i in range(1, 9)]
    whole = warped_distances(query, references)
    monkeypatch.setattr(alignment, "CELLS_AT_ONCE", 2000)
    assert warped_distances(query, references) == pytest.approx(whole)


def test_nothing_is_infinitely_far_from_everything() -> None:
    some, nothing = sequence(0, 4), sequence(0, 0)
    assert np.isinf(warped_distances(nothing, [some])).all()
    distances = warped_distances(some, [nothing, some])
    assert np.isinf(distances[0]) and distances[1] == pytest.approx(0, abs=1e-5)


def test_no_references_are_no_distances() -> None:
    assert len(warped_distances(sequence(0, 3), [])) == 0


def test_frame_distances_are_euclidean() -> None:
    left, right = sequence(0, 4), sequence(1, 5)
    expected = np.linalg.norm(left[:, None] - right[None], axis=-1)
    assert frame_distances(left, right) == pytest.approx(expected)


def test_twenty_seconds_against_twenty_seconds_take_a_moment() -> None:
    left, right = sequence(0, 1000), sequence(1, 1000)
    started = time.perf_counter()
    warped_distances(left, [right])
    assert time.perf_counter() - started < 5  # 0.05 s; a loop over the cells would take 10 s
