"""Turns of a conversation → clips of dialogue: `[S1] … [S2] …`.

A turn is an entry of the source with a speaker, a start and an end. Refused, each with its reason:
turns without these, turns that overlap (a cut beside one would go through the other), turns longer
than a clip, and turns that no clip of the least length can hold. Whatever is refused stays out of
the clips with its sound: a clip ends before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from dialoom.audio import Segment
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.cutting import PieceLimits, Span, cut, piece_id, piece_source
from dialoom.data.entries import Entry, Untranscribed
from dialoom.text import FIRST_SPEAKER, SPEAKER_TAG

DIALOGUE_LIMITS = PieceLimits(min_s=5.0, max_s=20.0)
"""Texts under 5 s or over 20 s of speech sound wrong from Dia."""

MAX_SPEAKERS = 2
OVERLAP_TOLERANCE_S = 0.05
"""Times are rounded, and breath is not speech."""


@dataclass
class _Turn:
    """One entry with its times; where it is refused, it still has its place in the recording.

    Attributes:
        clip: as the source lists it.
        segment: its times; the end is known.
        refused: why it cannot be used.
        sealed: something that has no known place follows it in the source.
    """

    clip: SourceClip
    segment: Segment
    refused: Rejection | None = None
    sealed: bool = False

    @property
    def start_s(self) -> float:
        return self.segment.start_s

    @property
    def end_s(self) -> float:
        assert self.segment.end_s is not None
        return self.segment.end_s

    def refuse(self, reason: str, remedy: str) -> None:
        """The first reason stays."""
        self.refused = self.refused or Rejection(self.clip.source, reason=reason, remedy=remedy)


def assemble_dialogue(
    entries: Iterable[Entry], limits: PieceLimits = DIALOGUE_LIMITS
) -> Iterator[Entry]:
    """Clips of consecutive turns; speakers are [S1] and [S2] in the order in which they speak.

    First the entries that have no place in a recording, then the recordings in the order of the
    source, each with its clips and refused turns in the order of time. A clip's speaker is the
    names of its speakers, that of [S1] first.
    """
    recordings: dict[tuple[object, ...], list[_Turn]] = {}
    previous: _Turn | None = None
    for entry in entries:
        turn = _turn(entry)
        if isinstance(turn, Rejection):
            if previous is not None:
                previous.sealed = True
            yield turn
            continue
        audio, previous = turn.clip.audio, turn
        key = (audio.path, *(audio.member.identity if audio.member else ()))
        recordings.setdefault(key, []).append(turn)
    for turns in recordings.values():
        turns.sort(key=lambda turn: (turn.start_s, turn.end_s))
        _refuse_overlaps(turns)
        yield from _assemble(turns, limits)


def _turn(entry: Entry) -> _Turn | Rejection:
    """A rejection where it is not known when the entry is said."""
    clip = entry.recording if isinstance(entry, Untranscribed) else entry
    if isinstance(clip, Rejection):
        return clip
    refused = entry.plain if isinstance(entry, Untranscribed) else None
    segment = clip.audio.segment
    if segment is not None and segment.end_s is not None:
        turn = _Turn(clip, segment, refused)
        _refuse_unnamed(turn)
        return turn
    return refused or Rejection(
        clip.source,
        reason="does not say when it starts and ends, as a turn of a dialogue must",
        remedy="give it a start and an end in seconds, or leave out --dialogue",
    )


def _refuse_unnamed(turn: _Turn) -> None:
    if not turn.clip.speaker:
        turn.refuse("names no speaker", "name who says it")
    elif tags := SPEAKER_TAG.findall(_words(turn.clip)):
        turn.refuse(f"is one turn and holds the tag {tags[0]}", "write each turn as a row")


def _words(clip: SourceClip) -> str:
    return clip.text.removeprefix(FIRST_SPEAKER).strip()


def _refuse_overlaps(turns: Sequence[_Turn]) -> None:
    """Both turns of each overlap; `turns` are in the order of their starts."""
    latest: _Turn | None = None
    for turn in turns:
        if latest is not None and turn.start_s < latest.end_s - OVERLAP_TOLERANCE_S:
            for one, other in ((latest, turn), (turn, latest)):
                reason = f"overlaps another turn ({other.clip.speaker}, {other.segment} s)"
                one.refuse(reason, "leave it out, or correct its times if nobody interrupts")
        if latest is None or turn.end_s > latest.end_s:
            latest = turn


def _assemble(turns: Sequence[_Turn], limits: PieceLimits) -> Iterator[Entry]:
    for turn in turns:
        if (length_s := round(turn.end_s - turn.start_s, 3)) > limits.max_s:
            reason = f"is one turn of {length_s:g} s, a clip holds {limits.max_s:g} s"
            turn.refuse(reason, "divide it where its speaker pauses")
    for turn, follower in pairwise(turns):
        turn.sealed = turn.sealed or follower.refused is not None
    usable = [turn for turn in turns if turn.refused is None]
    clips: list[tuple[float, Entry]] = []
    placed: set[int] = set()
    for piece in _cut(usable, limits):
        placed.update(piece)
        clips.append((usable[piece.start].start_s, _clip([usable[i] for i in piece])))
    for i, turn in enumerate(usable):
        if i not in placed:
            _refuse_unplaced(turn, limits)
    refused = [(turn.start_s, turn.refused) for turn in turns if turn.refused is not None]
    yield from (entry for _, entry in sorted([*clips, *refused], key=lambda item: item[0]))


def _cut(turns: Sequence[_Turn], limits: PieceLimits) -> list[range]:
    def may_join(first: int, last: int) -> bool:
        return len({turn.clip.speaker for turn in turns[first : last + 1]}) <= MAX_SPEAKERS

    spans = [Span(turn.start_s, turn.end_s, sealed=turn.sealed) for turn in turns]
    return cut(spans, limits, may_join=may_join)


def _refuse_unplaced(turn: _Turn, limits: PieceLimits) -> None:
    turn.refuse(
        f"is a turn of {turn.end_s - turn.start_s:.1f} s that no clip of {limits.min_s:g} to "
        f"{limits.max_s:g} s can hold together with its neighbours",
        "lower --min-seconds, or leave it out",
    )


def _clip(turns: Sequence[_Turn]) -> SourceClip:
    """Successive turns of one speaker stand under one tag."""
    first, last = turns[0].clip, turns[-1]
    speakers = list(dict.fromkeys(str(turn.clip.speaker) for turn in turns))
    words = [
        f"[S{speakers.index(speaker) + 1}] {' '.join(_words(turn.clip) for turn in said)}"
        for speaker, said in groupby(turns, key=lambda turn: str(turn.clip.speaker))
    ]
    languages = {turn.clip.language for turn in turns}
    segment = Segment(turns[0].start_s, last.end_s)
    return SourceClip(
        id=piece_id(first, segment),
        text=" ".join(words),
        audio=replace(first.audio, segment=segment),
        language=first.language if len(languages) == 1 else None,
        speaker=" + ".join(speakers),
        source=piece_source(first, segment),
    )
