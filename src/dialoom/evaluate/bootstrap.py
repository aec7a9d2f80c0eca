"""How sure a figure is: the percentile bootstrap over clips.

Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
What is drawn with replacement are clips, each with all of its utterances, because the utterances
of one text are not independent: a hard text is hard with every seed. The draws are the same for
every model, so a difference of two models is taken on the same clips each time (paired).

Row 0 of all draws is every clip once: it gives the figure itself. With few clips an interval is too
narrow, and where all clips agree it has no width at all.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 1993

MIN_CLIPS = 6
"""With fewer nothing is certain: even if every clip says the same, the sign test of n clips gives
2 · 2⁻ⁿ, which is more than 5 % up to n = 5."""


@dataclass(frozen=True)
class Estimate:
    """A figure and where it lies with 95 % confidence; all NaN where there is nothing to count."""

    value: float
    low: float
    high: float


def draw_clips(num_clips: int, num_resamples: int = NUM_RESAMPLES) -> Int32[np.ndarray, "draws K"]:
    """How often each of K clips is in each draw; (1 + num_resamples, K), row 0 all ones."""
    generator = np.random.default_rng(SEED)
    shares = np.full(num_clips, 1 / num_clips)
    drawn = generator.multinomial(num_clips, shares, size=num_resamples)
    counts: Int32[np.ndarray, "draws K"] = np.concatenate(
        [np.ones((1, num_clips), np.int64), drawn]
    ).astype(np.int32)
    return counts


def weighted_means(
    values: Float64[np.ndarray, " N"],
    weights: Float64[np.ndarray, " N"],
    clips: Int64[np.ndarray, " N"],
    draws: Int32[np.ndarray, "draws K"],
) -> Float64[np.ndarray, " draws"]:
    """Σ weight · value ÷ Σ weight of each draw; NaN where it holds no weight.

    Args:
        values: of the utterances; NaN counts for nothing.
        weights: of the utterances; words of the text, for an error rate of the whole corpus.
        clips: which clip, 0 … K-1, each utterance is of.
        draws: as `draw_clips` makes them.
    """
    there = ~np.isnan(values)
    totals, sizes = (
        np.bincount(clips[there], numbers[there], minlength=draws.shape[1])
        for numbers in (values * weights, weights)
    )
    with np.errstate(invalid="ignore"):
        means: Float64[np.ndarray, " draws"] = (draws @ totals) / (draws @ sizes)
    return means


def medians(
    values: Float64[np.ndarray, " N"],
    clips: Int64[np.ndarray, " N"],
    draws: Int32[np.ndarray, "draws K"],
) -> Float64[np.ndarray, " draws"]:
    """The median over the utterances of each draw; NaN where it holds none. As `weighted_means`."""
    there = ~np.isnan(values)
    order = np.argsort(values[there], kind="stable")
    found = values[there][order]
    if not found.size:
        return np.full(len(draws), math.nan)
    reached = np.cumsum(draws[:, clips[there][order]], axis=1)
    totals = reached[:, -1]
    middles = ((totals + 1) // 2, totals // 2 + 1)  # the same place, if their number is odd
    low, high = ((reached < middle[:, None]).sum(axis=1) for middle in middles)
    last = len(found) - 1
    halves = (found[np.minimum(low, last)] + found[np.minimum(high, last)]) / 2
    return np.where(totals > 0, halves, math.nan)


def estimate(figures: Float64[np.ndarray, " draws"]) -> Estimate:
    """From the figure of each draw: that of row 0, and the middle 95 % of the others."""
    drawn = figures[1:][~np.isnan(figures[1:])]
    if not drawn.size:
        return Estimate(float(figures[0]), math.nan, math.nan)
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Estimate(float(figures[0]), float(low), float(high))


def is_certain(difference: Estimate, num_clips: int) -> bool:
    """Whether a difference of two models is, by 95 %, not by chance: the interval leaves out 0."""
    return num_clips >= MIN_CLIPS and (difference.low > 0 or difference.high < 0)
