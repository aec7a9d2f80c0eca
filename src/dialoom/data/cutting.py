"""Where a recording is cut into clips: between spans of speech, never inside one.

A span is a stretch of speech or a turn. Consecutive spans make a piece. Of all ways to do that,
the one is taken that leaves the least speech out; of these, the one that cuts where nobody speaks
for long.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dialoom.audio import Segment
from dialoom.data.clip import SourceClip
from dialoom.errors import DataError

LONG_PAUSE_S = 1.0
"""A cut costs the seconds that its pause lacks to this, so it falls into the longest pauses."""


@dataclass(frozen=True)
class PieceLimits:
    """How long a piece may be.

    Attributes:
        min_s: its least length.
        max_s: its greatest length.
        max_gap_s: the longest silence within it.
    """

    min_s: float
    max_s: float
    max_gap_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_s <= self.max_s < math.inf or self.max_s == 0:
            raise DataError(
                f"pieces of {self.min_s:g} to {self.max_s:g} s: the least length must be at least "
                "0 and at most the greatest"
            )


@dataclass(frozen=True)
class Span:
    """What must stay whole, in seconds from the start of the recording.

    Attributes:
        start_s: of its first sample.
        end_s: of the sample after its last.
        sealed: nothing that follows it may be in its piece.
    """

    start_s: float
    end_s: float
    sealed: bool = False

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def cut(
    spans: Sequence[Span],
    limits: PieceLimits,
    *,
    may_join: Callable[[int, int], bool] = lambda first, last: True,
) -> list[range]:
    """The pieces, in order; what no piece holds cannot be in one.

    Found by dynamic programming over the end of the last piece.

    Args:
        spans: by their starts; they do not overlap.
        limits: of the pieces.
        may_join: whether the spans `first` … `last`, both included, may be one piece.
    """
    best = [(0.0, 0.0)]
    pieces: list[range | None] = [None]
    for end in range(1, len(spans) + 1):
        best.append(best[-1])
        pieces.append(None)
        for first in _starts(spans, end - 1, limits):
            if not may_join(first, end - 1) or _length_s(spans, first, end - 1) < limits.min_s:
                continue
            speech_s = sum(span.duration_s for span in spans[first:end])
            covered_s, cost = best[first]
            candidate = (round(covered_s + speech_s, 6), round(cost - _cost(spans, first), 6))
            if candidate > best[end]:
                best[end], pieces[end] = candidate, range(first, end)
    return _trace_back(pieces)


def piece_source(clip: SourceClip, segment: Segment) -> str:
    """What a piece of a recording is called for people."""
    return f"{recording_name(clip)}@{segment}"


def piece_id(clip: SourceClip, segment: Segment) -> str:
    """The id of a piece: the recording's name without its ending, and the times."""
    return f"{recording_name(clip).removesuffix(clip.audio.path.suffix)}@{segment}"


def recording_name(clip: SourceClip) -> str:
    """Of the recording that a clip is of, or a piece of it: its path within the source."""
    own = clip.audio.segment
    return clip.source if own is None else clip.source.removesuffix(f"@{own}")


def _starts(spans: Sequence[Span], last: int, limits: PieceLimits) -> list[int]:
    """From which spans on a piece that ends with `last` may begin, the longest piece first."""
    starts: list[int] = []
    for first in range(last, -1, -1):
        if _length_s(spans, first, last) > limits.max_s:
            break
        if first < last:
            gap_s = spans[first + 1].start_s - spans[first].end_s
            if spans[first].sealed or gap_s > limits.max_gap_s:
                break
        starts.append(first)
    return starts[::-1]


def _length_s(spans: Sequence[Span], first: int, last: int) -> float:
    return round(spans[last].end_s - spans[first].start_s, 6)


def _cost(spans: Sequence[Span], first: int) -> float:
    """Of the cut before a span."""
    if first == 0:
        return 0.0
    return max(0.0, LONG_PAUSE_S - (spans[first].start_s - spans[first - 1].end_s))


def _trace_back(pieces: Sequence[range | None]) -> list[range]:
    found: list[range] = []
    end = len(pieces) - 1
    while end > 0:
        piece = pieces[end]
        if piece is None:
            end -= 1
        else:
            found.append(piece)
            end = piece.start
    return found[::-1]
