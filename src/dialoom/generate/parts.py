"""A long script cut into parts that a model speaks well: at turns and sentences.

Dia's makers: below 5 s and above 20 s of speech the sound is unnatural (nari-labs/dia, "Generation
Guidelines").
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dialoom.errors import GenerationError
from dialoom.generate.guard import BYTES_PER_SECOND, Guard, expected_s
from dialoom.text import Turn, split_turns

_SENTENCE_END = re.compile(r"[.!?…؟۔।]+[\"'”’“‘»«›‹)\]]*(?=\s)|[。！？]+[」』”’]*")
_CLAUSE_END = re.compile(r"[,;:–—،؛](?=\s)|[，；、]")
_ABBREVIATION = re.compile(
    r"\b(?:\w|\d{1,3}|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|Nr|Hr|Fr|ca|bzw|usw|vgl|Abb|Bd|Jh"
    r"|Abs|Art|Kap|Str|Tel|Mio|Mrd|evtl|ggf|inkl|max|min|sog|geb|gest)\.$"
)
"""No sentence ends here: single letters (initials, "z. B."), common short forms, and ordinals as
German and others write them ("am 12. Mai"); a number of four digits is a year."""

_LONGEST_ABBREVIATION = 6
_NEXT = re.compile(r"\s*(\S?)")

_TURN_BREAK_COST, _SENTENCE_BREAK_COST, _INNER_BREAK_COST = 0.0, 0.2, 1.0
_OUTSIDE_COST = 10.0
"""Costs of a division are sums over its parts: of the break before it, of the squared difference
from the length that is best (as a share of it), and of every such share outside the limits."""


@dataclass(frozen=True)
class PartLimits:
    """How long a part shall be when it is spoken.

    Attributes:
        min_s: shorter ones only where the script is no longer.
        max_s: longer ones only where a word is.
        bytes_per_second: how fast the model speaks, in UTF-8 bytes without tags.
    """

    min_s: float = 5.0
    max_s: float = 16.0
    bytes_per_second: float = BYTES_PER_SECOND

    def __post_init__(self) -> None:
        if not 0 < self.min_s < self.max_s < float("inf"):
            raise GenerationError(
                f"parts of {self.min_s:g} to {self.max_s:g} s: the first must be more than 0 and "
                "less than the second"
            )
        Guard(bytes_per_second=self.bytes_per_second)  # refuses what is no rate

    @property
    def best_s(self) -> float:
        """Between the limits, geometrically."""
        return float((self.min_s * self.max_s) ** 0.5)


@dataclass(frozen=True)
class _Segment:
    """What is never cut.

    Attributes:
        speaker: whose it is.
        text: of it.
        seconds: that it lasts.
        break_cost: of beginning a part with it.
    """

    speaker: str
    text: str
    seconds: float
    break_cost: float


def split_script(text: str, limits: PartLimits | None = None) -> list[str]:
    """The parts of a script, each led by its speaker's tag; together they have every word of it.

    A script that is no longer than a part may be is one. Else parts begin at turns where they can,
    or at sentences; clauses and words are parted only where a sentence alone is too long.
    """
    limits = limits or PartLimits()
    turns = split_turns(text)
    if expected_s(text, limits.bytes_per_second) <= limits.max_s:
        return [" ".join(map(str, turns))] if turns else []
    segments = list(_segments(turns, limits))
    starts = _cheapest_division(segments, limits)
    return [_script(segments[start:end]) for start, end in pairwise([*starts, len(segments)])]


def _segments(turns: Sequence[Turn], limits: PartLimits) -> Iterator[_Segment]:
    for turn in turns:
        cost = _TURN_BREAK_COST
        for sentence in _sentences(turn.text):
            for piece in _fitting(sentence, limits):
                seconds = len(piece.encode()) / limits.bytes_per_second
                yield _Segment(turn.speaker, piece, seconds, cost)
                cost = _INNER_BREAK_COST
            cost = _SENTENCE_BREAK_COST


def _sentences(text: str) -> list[str]:
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not _ABBREVIATION.search(text, match.end() - _LONGEST_ABBREVIATION, match.end())
        and not _NEXT.match(text, match.end())[1].islower()  # type: ignore[index]  # it matches
    ]
    return _cut(text, ends)


def _fitting(sentence: str, limits: PartLimits) -> Iterator[str]:
    """A sentence, at its clauses and then at its words, in pieces of at most `max_s`."""
    most = int(limits.max_s * limits.bytes_per_second)
    if len(sentence.encode()) <= most:
        yield sentence
        return
    for clause in _cut(sentence, [match.end() for match in _CLAUSE_END.finditer(sentence)]):
        gathered = ""
        for word in clause.split():
            longer = f"{gathered} {word}".strip()
            if gathered and len(longer.encode()) > most:
                yield gathered
                longer = word
            gathered = longer
        yield gathered


def _cut(text: str, ends: Sequence[int]) -> list[str]:
    pieces = [text[a:b].strip() for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [piece for piece in pieces if piece]


def _cheapest_division(segments: Sequence[_Segment], limits: PartLimits) -> list[int]:
    """Where parts begin, by dynamic programming over all divisions."""
    best_cost = [0.0] + [float("inf")] * len(segments)
    best_start = [0] * (len(segments) + 1)
    for end in range(1, len(segments) + 1):
        seconds = 0.0
        for start in range(end - 1, -1, -1):
            seconds += segments[start].seconds
            if seconds > limits.max_s and start < end - 1:
                break
            cost = best_cost[start] + segments[start].break_cost + _cost(seconds, limits)
            if cost < best_cost[end]:
                best_cost[end], best_start[end] = cost, start
    starts, end = [], len(segments)
    while end > 0:
        end = best_start[end]
        starts.append(end)
    return starts[::-1]


def _cost(seconds: float, limits: PartLimits) -> float:
    best_s = limits.best_s
    outside_s = max(limits.min_s - seconds, 0) + max(seconds - limits.max_s, 0)
    return ((seconds - best_s) / best_s) ** 2 + _OUTSIDE_COST * outside_s / best_s


def _script(segments: Sequence[_Segment]) -> str:
    """Segments as a script again: a tag wherever the speaker changes."""
    words: list[str] = []
    speaker = None
    for segment in segments:
        if segment.speaker != speaker:
            speaker = segment.speaker
            words.append(speaker)
        words.append(segment.text)
    return " ".join(words)
