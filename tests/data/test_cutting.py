"""Pieces keep to their limits, leave as little speech out as can be, and are cut at long pauses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoom.data.cutting import PieceLimits, Span, cut
from dialoom.errors import DataError

LIMITS = PieceLimits(min_s=3.0, max_s=10.0, max_gap_s=2.0)


def _spans(*lengths_and_gaps: float) -> list[Span]:
    """speech, pause, speech, pause, speech …"""
    spans, at_s = [], 0.0
    for i, length_s in enumerate(lengths_and_gaps):
        if i % 2 == 0:
            spans.append(Span(at_s, at_s + length_s))
        at_s += length_s
    return spans


def test_speech_that_fits_is_one_piece() -> None:
    assert cut(_spans(3, 0.5, 3, 0.5, 3), LIMITS) == [range(3)]


def test_the_cut_falls_into_the_longest_pause() -> None:
    assert cut(_spans(3, 0.3, 3, 0.9, 3, 0.3, 3), LIMITS) == [range(2), range(2, 4)]
    assert cut(_spans(3, 0.9, 3, 0.3, 3, 0.2, 3), LIMITS) == [range(1), range(1, 4)]


def test_no_more_cuts_than_needed() -> None:
    assert len(cut(_spans(*[1.5, 0.4] * 10, 1.5), LIMITS)) == 3


def test_what_no_piece_can_hold_is_left_out() -> None:
    assert cut(_spans(4, 0.5, 11, 0.5, 4), LIMITS) == [range(1), range(2, 3)]
    assert cut(_spans(1, 3.0, 4), LIMITS) == [range(1, 2)], "a gap over the limit divides"
    assert cut([], LIMITS) == cut(_spans(1), LIMITS) == []


def test_nothing_is_joined_to_what_is_sealed() -> None:
    first, second = _spans(4, 0.5, 4)
    sealed = Span(first.start_s, first.end_s, sealed=True)
    assert cut([first, second], LIMITS) == [range(2)]
    assert cut([sealed, second], LIMITS) == [range(1), range(1, 2)]


def test_short_spans_are_saved_by_their_neighbours() -> None:
    """Taking as much as fits from the left would leave the last two seconds out."""
    assert cut(_spans(4, 0.5, 5.5, 0.5, 2), LIMITS) == [range(1), range(1, 3)]


@pytest.mark.parametrize(("low", "high"), [(5, 3), (-1, 3), (0, 0), (1, float("inf"))])
def test_limits_that_cannot_be_are_refused(low: float, high: float) -> None:
    with pytest.raises(DataError, match="the least length must be at least 0 and at most"):
        PieceLimits(low, high)


def _all_ways(spans: list[Span]) -> list[list[range]]:
    """Every choice of pieces, by brute force."""
    ways: list[list[list[range]]] = [[[]]]
    for end in range(1, len(spans) + 1):
        here = list(ways[end - 1])
        for first in range(end):
            gaps = [b.start_s - a.end_s for a, b in pairwise(spans[first:end])]
            length_s = round(spans[end - 1].end_s - spans[first].start_s, 6)
            if LIMITS.min_s <= length_s <= LIMITS.max_s and max(gaps, default=0) <= 2.0:
                here += [[*way, range(first, end)] for way in ways[first]]
        ways.append(here)
    return ways[-1]


def _worth(spans: list[Span], pieces: list[range]) -> tuple[float, float]:
    held_s = sum(spans[i].duration_s for piece in pieces for i in piece)
    cuts = [p.start for p in pieces if p.start > 0]
    lacks = [max(0.0, 1.0 - (spans[i].start_s - spans[i - 1].end_s)) for i in cuts]
    return round(held_s, 4), round(-sum(lacks), 4)


@given(st.lists(st.integers(1, 48).map(lambda n: n / 4), min_size=1, max_size=11))
def test_no_other_way_is_better(lengths_and_gaps: list[float]) -> None:
    spans = _spans(*lengths_and_gaps)
    best = max(_worth(spans, way) for way in _all_ways(spans))
    pieces = cut(spans, LIMITS)
    assert pieces in _all_ways(spans)
    assert _worth(spans, pieces) == best
