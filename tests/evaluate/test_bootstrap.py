"""The bootstrap against numpy's own statistics of the drawn clips written out."""

import math

import numpy as np
import pytest

from dialoom.evaluate.bootstrap import (
    MIN_CLIPS,
    NUM_RESAMPLES,
    Estimate,
    draw_clips,
    estimate,
    is_certain,
    medians,
    weighted_means,
)

CLIPS = np.array([0, 0, 0, 1, 2, 2, 3])
VALUES = np.array([1.0, 5.0, math.nan, 2.0, 8.0, -3.0, 4.0])
WEIGHTS = np.array([2.0, 1.0, 9.0, 3.0, 1.0, 1.0, 5.0])


def _written_out(counts: np.ndarray) -> list[int]:
    """The utterances of a draw, those without a value left out."""
    return [i for clip, n in enumerate(counts) for _ in range(n) for i in _utterances(clip)]


def _utterances(clip: int) -> list[int]:
    return [i for i in range(len(CLIPS)) if CLIPS[i] == clip and not math.isnan(VALUES[i])]


def test_medians_are_those_of_the_clips_that_were_drawn() -> None:
    draws = draw_clips(4)
    found = medians(VALUES, CLIPS, draws)
    expected = [np.median(VALUES[_written_out(counts)]) for counts in draws]
    np.testing.assert_allclose(found, expected)


def test_means_weigh_the_utterances_that_were_drawn() -> None:
    draws = draw_clips(4)
    found = weighted_means(VALUES, WEIGHTS, CLIPS, draws)
    expected = [
        np.average(VALUES[drawn], weights=WEIGHTS[drawn]) for drawn in map(_written_out, draws)
    ]
    np.testing.assert_allclose(found, expected)


def test_every_draw_has_as_many_clips_and_the_first_has_each_once() -> None:
    draws = draw_clips(9)
    assert draws.shape == (1 + NUM_RESAMPLES, 9)
    assert (draws[0] == 1).all() and (draws.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(draws, draw_clips(9))
    assert len(np.unique(draws, axis=0)) > 900


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    """Of n clips it is mean ± 1.96 · σ ÷ √n; what is drawn are clips, not their utterances."""
    clips = np.repeat(np.arange(400), 5)
    values = np.repeat(np.random.default_rng(1).normal(10, 2, 400), 5)
    found = estimate(weighted_means(values, np.ones(2000), clips, draw_clips(400)))
    half = 1.96 * float(values.std()) / math.sqrt(400)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(found.value - half, abs=0.04)
    assert found.high == pytest.approx(found.value + half, abs=0.04)


def test_95_of_100_intervals_hold_the_truth() -> None:
    generator = np.random.default_rng(2)
    draws = draw_clips(40)
    holds = 0
    for _ in range(200):
        values = generator.exponential(1.0, 40)
        found = estimate(weighted_means(values, np.ones(40), np.arange(40), draws))
        holds += found.low <= 1.0 <= found.high
    assert 0.86 < holds / 200 < 0.99


def test_paired_draws_see_what_unpaired_ones_cannot() -> None:
    """Two models, one 0.1 better on every clip; the clips differ by far more."""
    hard = np.random.default_rng(3).normal(0, 5, 20)
    draws, ones, clips = draw_clips(20), np.ones(20), np.arange(20)
    one, other = (weighted_means(hard + gain, ones, clips, draws) for gain in (0.0, 0.1))
    assert estimate(one).high > estimate(other).low, "the intervals overlap"
    difference = estimate(other - one)
    assert is_certain(difference, 20)
    assert difference.low == pytest.approx(difference.high) == pytest.approx(0.1)


def test_nothing_is_certain_of_few_clips_or_across_zero() -> None:
    better = Estimate(1.0, 0.5, 1.5)
    assert is_certain(better, MIN_CLIPS) and not is_certain(better, MIN_CLIPS - 1)
    assert is_certain(Estimate(-1.0, -1.5, -0.5), 50)
    assert not is_certain(Estimate(0.2, -0.1, 0.5), 50)
    assert not is_certain(Estimate(math.nan, math.nan, math.nan), 50)


def test_without_values_there_is_no_figure() -> None:
    nothing, draws = np.full(7, math.nan), draw_clips(4)
    for figures in (medians(nothing, CLIPS, draws), weighted_means(nothing, WEIGHTS, CLIPS, draws)):
        found = estimate(figures)
        assert all(math.isnan(number) for number in (found.value, found.low, found.high))
