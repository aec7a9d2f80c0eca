"""Columns: which field of a table or of a JSON record holds what."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dialoom.audio import Segment
from dialoom.data.clip import Rejection
from dialoom.errors import DataError

ALIASES: dict[str, tuple[str, ...]] = {
    "audio": (
        "audio",
        "audio_filepath",
        "audio_path",
        "file_name",
        "filename",
        "path",
        "wav",
        "file",
        "recording",
    ),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text"),
    "id": ("id",),
    "language": ("language", "locale", "lang"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "start": ("start", "start_s", "start_time", "offset"),
    "end": ("end", "end_s", "end_time"),
    "duration": ("duration", "duration_s"),
}
"""Field → what sources call it, lower case, the first that is there counts."""


@dataclass(frozen=True)
class Row:
    """One entry of a source, as written.

    Attributes:
        place: where it stands, "file:line".
        id: its name; empty if the source gives none.
        text: its transcript; may be empty.
        audio: its file; None if the source gives none.
        language: if the source has such a column and it is filled.
        speaker: likewise.
        segment: the part of the recording, if it has a start or an end.
    """

    place: str
    id: str
    text: str
    audio: Path | None
    language: str | None = None
    speaker: str | None = None
    segment: Segment | None = None


@dataclass(frozen=True)
class Columns:
    """What a source calls its columns; those not named are found by their usual names.

    Attributes:
        names: field and column, such as ("text", "sentence").
    """

    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Columns":
        """From `text=sentence,audio=file`.

        Raises:
            DataError: it is not written so, or names a field that there is not.
        """
        names = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            field, _, column = (piece.strip() for piece in part.partition("="))
            if field not in ALIASES or not column:
                raise DataError(
                    f"columns {part!r}: write FIELD=COLUMN, where FIELD is one of "
                    f"{', '.join(ALIASES)}"
                )
            names.append((field, column.lower()))
        return cls(tuple(names))

    def candidates(self, field: str) -> tuple[str, ...]:
        """The names under which a field is looked for."""
        mapped = dict(self.names).get(field)
        return ALIASES[field] if mapped is None else (mapped,)

    def find(self, field: str, present: Collection[str]) -> str | None:
        """The column of a field among those that are there, in lower case."""
        return next((name for name in self.candidates(field) if name in present), None)

    def describe(self, present: Collection[str]) -> str:
        """Why a source has no audio or no text column: what it has, and what is looked for."""
        audio, text = (", ".join(self.candidates(field)) for field in ("audio", "text"))
        return (
            f"has the columns {', '.join(present)}; name one of {audio} and one of {text}, or "
            "say which is which: --columns audio=NAME,text=NAME"
        )

    def row(self, place: str, values: Mapping[str, object]) -> Row | Rejection:
        """The entry that these values make; their names are in lower case."""
        texts = {field: self._text(field, values) for field in ALIASES}
        if any(_is_broken(text) for text in texts.values()):
            return Rejection(
                place, reason="holds half a character (a surrogate)", remedy="write it anew"
            )
        try:
            segment = _segment(texts["start"], texts["end"], texts["duration"])
        except ValueError as error:
            remedy = "write seconds, the end after the start"
            return Rejection(place, reason=str(error), remedy=remedy)
        return Row(
            place=place,
            id=texts["id"],
            text=texts["text"],
            audio=Path(texts["audio"]) if texts["audio"] else None,
            language=texts["language"] or None,
            speaker=texts["speaker"] or None,
            segment=segment,
        )

    def _text(self, field: str, values: Mapping[str, object]) -> str:
        """Numbers as they are written; lists and records are no value."""
        name = self.find(field, [name for name, value in values.items() if value is not None])
        value = None if name is None else values[name]
        return str(value) if isinstance(value, str | int | float) else ""


def _is_broken(text: str) -> bool:
    """JSON can write what no file in UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _segment(start: str, end: str, duration: str) -> Segment | None:
    """None for a whole recording; a duration alone is the length of one.

    Raises:
        ValueError: what cannot be a segment, in words.
    """
    if not start.strip() and not end.strip():
        return None
    start_s = _seconds("start", start) if start.strip() else 0.0
    end_s = _seconds("end", end) if end.strip() else None
    if end_s is None and duration.strip():
        end_s = start_s + _seconds("duration", duration)
    if end_s is not None and end_s <= start_s:
        raise ValueError(f"ends at {end_s:g} s and starts at {start_s:g} s")
    return Segment(start_s, end_s)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} {text!r} is no time in seconds")
    return value
