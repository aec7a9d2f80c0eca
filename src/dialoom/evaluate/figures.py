"""Attempts → figures with their confidence, and which models differ.

A figure is a mean or a median over utterances; its interval is bootstrapped over clips, with the
same draws for every model (bootstrap.py).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int32

from dialoom.evaluate.attempt import Attempt
from dialoom.evaluate.bootstrap import (
    Estimate,
    draw_clips,
    estimate,
    is_certain,
    medians,
    weighted_means,
)
from dialoom.evaluate.speech import LENGTH_RATIOS

ValueOf = Callable[[Attempt], float]


@dataclass(frozen=True)
class Figure:
    """Something that is said of a model's speech.

    Attributes:
        key: in JSON.
        title: in tables, with the unit.
        value: of one utterance, in the unit of JSON; NaN where it has none.
        is_median: over the utterances; else the mean, weighted by `weight`.
        weight: of one utterance in a mean.
        percent: tables show it times 100.
        digits: behind the point, in tables.
        is_relative: it compares with the reference, of which it says nothing.
        to_ceiling: it is divided by the same figure of the codec's round trip.
    """

    key: str
    title: str
    value: ValueOf
    is_median: bool = False
    weight: ValueOf = lambda attempt: 1.0
    percent: bool = False
    digits: int = 2
    is_relative: bool = False
    to_ceiling: bool = False

    def show(self, found: float) -> str:
        return f"{100 * found:.1f}" if self.percent else f"{found:.{self.digits}f}"


def _share(key: str, title: str, value: ValueOf, *, is_relative: bool = False) -> Figure:
    return Figure(key, f"{title}, %", value, percent=True, is_relative=is_relative)


def _length_within(attempt: Attempt) -> float:
    shortest, longest = LENGTH_RATIOS
    return float(shortest <= attempt.measures.length_ratio <= longest)


def _rate(name: str) -> ValueOf:
    return lambda attempt: math.nan if attempt.words is None else getattr(attempt.words, name)


def _count(name: str) -> ValueOf:
    return lambda attempt: 0.0 if attempt.words is None else float(getattr(attempt.words, name))


SECTIONS: Mapping[str, tuple[Figure, ...]] = {
    "how it ends": (
        _share("stopped", "stopped by itself", lambda a: float(a.measures.stopped)),
        _share("ran_on", "ran on to the limit", lambda a: float(not a.measures.stopped)),
        _share("empty", "empty", lambda a: float(a.measures.empty)),
        Figure(
            "frames_late", "late, frames", lambda a: a.frames_late, True, digits=0, is_relative=True
        ),
    ),
    "how fast": (
        Figure(
            "length_ratio", "length ÷ data", lambda a: a.measures.length_ratio, True,
            is_relative=True,
        ),
        _share("length_within", "length 0.8 to 1.25", _length_within, is_relative=True),
        Figure(
            "characters_per_second", "characters/s", lambda a: a.characters_per_second, True,
            digits=1,
        ),
    ),
    "what it sounds like": (
        _share(
            "retrieval", "nearest to its own clip", lambda a: float(a.measures.is_nearest),
            is_relative=True,
        ),
        Figure(
            "distortion_db", "distortion, dB", lambda a: a.measures.distortion_db, True,
            is_relative=True,
        ),
        Figure(
            "distortion_ratio", "distortion ÷ codec's", lambda a: a.measures.distortion_db, True,
            is_relative=True, to_ceiling=True,
        ),
    ),
    "pitch": (
        Figure("f0_hz", "F0, Hz", lambda a: a.pitch.median_hz, True, digits=0),
        Figure(
            "f0_deviation_semitones", "spread, semitones", lambda a: a.pitch.deviation_semitones,
            True,
        ),
        Figure("voiced", "voiced, %", lambda a: a.pitch.voiced, True, percent=True),
    ),
    "pitch against the data": (
        Figure(
            "f0_offset_semitones", "F0, semitones", lambda a: a.pitch_offset.semitones, True,
            is_relative=True,
        ),
        Figure(
            "f0_deviation_offset_semitones", "spread, semitones",
            lambda a: a.pitch_offset.deviation_semitones, True, is_relative=True,
        ),
        Figure(
            "voiced_offset", "voiced, points", lambda a: a.pitch_offset.voiced, True, percent=True,
            is_relative=True,
        ),
    ),
    "what is heard": (
        Figure("wer", "WER, %", _rate("word_error_rate"), weight=_count("num_words"), percent=True),
        _share("wer_mean", "mean WER", _rate("word_error_rate")),
        Figure(
            "cer", "CER, %", _rate("character_error_rate"), weight=_count("num_characters"),
            percent=True,
        ),
        _share("cer_mean", "mean CER", _rate("character_error_rate")),
    ),
    "as judged": (
        Figure("similarity", "speaker similarity", lambda a: a.similarity, digits=3),
        Figure("opinion", "predicted MOS", lambda a: a.opinion),
    ),
}  # fmt: skip
"""All of them, as tables group them."""

FIGURES = tuple(figure for figures in SECTIONS.values() for figure in figures)


@dataclass(frozen=True)
class Difference:
    """One row's figure less another's, over the same draws of clips.

    Attributes:
        figure: its key.
        row: whose figure.
        other: whose figure is taken off.
        estimate: the difference.
        is_certain: the interval leaves out 0, and both have such a figure of clips enough.
    """

    figure: str
    row: int
    other: int
    estimate: Estimate
    is_certain: bool


@dataclass(frozen=True)
class Figures:
    """All figures of several rows of attempts at the same clips.

    Attributes:
        estimates: by a figure's key, one for each row.
        differences: of every later row from every earlier one, of those that were compared.
        num_clips: that were drawn from.
    """

    estimates: Mapping[str, Sequence[Estimate]]
    differences: Sequence[Difference]
    num_clips: int

    def has(self, figure: Figure) -> bool:
        """Whether any row has such a figure."""
        return any(not math.isnan(found.value) for found in self.estimates[figure.key])

    def certainly_other(self, figure: Figure, row: int) -> list[int]:
        """The rows from which this one differs for certain."""
        return [
            found.other if found.row == row else found.row
            for found in self.differences
            if found.figure == figure.key and found.is_certain and row in (found.row, found.other)
        ]


def count_up(
    rows: Sequence[Sequence[Attempt]], *, num_compared: int, ceiling: Sequence[Attempt]
) -> Figures:
    """Figures of all rows; the first `num_compared` of them are compared with each other.

    Args:
        rows: attempts of each, at the same clips.
        num_compared: the models, which stand in front.
        ceiling: of the codec's round trip.
    """
    ids = sorted({attempt.clip_id for row in rows for attempt in row})
    draws = draw_clips(len(ids)) if ids else np.ones((1, 0), np.int32)
    places = {clip_id: place for place, clip_id in enumerate(ids)}
    estimates: dict[str, list[Estimate]] = {}
    differences = []
    for figure in FIGURES:
        sizes = [_num_clips(figure, row) for row in rows]
        drawn = [_draw(figure, row, places, draws) for row in rows]
        if figure.to_ceiling:
            best = _draw(figure, ceiling, places, draws)
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn = [row / best for row in drawn]
        estimates[figure.key] = [estimate(row) for row in drawn]
        for other, row in combinations(range(num_compared), 2):
            found = estimate(drawn[row] - drawn[other])
            certain = is_certain(found, min(sizes[row], sizes[other]))
            differences.append(Difference(figure.key, row, other, found, certain))
    return Figures(estimates, differences, len(ids))


def _draw(
    figure: Figure,
    attempts: Sequence[Attempt],
    places: Mapping[str, int],
    draws: Int32[np.ndarray, "draws K"],
) -> Float64[np.ndarray, " draws"]:
    """The figure of each draw."""
    clips = np.array([places[attempt.clip_id] for attempt in attempts], np.int64)
    values = np.array([_value(figure, attempt) for attempt in attempts], np.float64)
    if figure.is_median:
        return medians(values, clips, draws)
    weights = np.array([figure.weight(attempt) for attempt in attempts], np.float64)
    return weighted_means(values, weights, clips, draws)


def _num_clips(figure: Figure, attempts: Sequence[Attempt]) -> int:
    """Clips that the figure is of; those without a value say nothing of it."""
    counted = (a for a in attempts if figure.weight(a) > 0 and not math.isnan(_value(figure, a)))
    return len({attempt.clip_id for attempt in counted})


def _value(figure: Figure, attempt: Attempt) -> float:
    if figure.is_relative and attempt.is_reference:
        return math.nan
    return figure.value(attempt)
