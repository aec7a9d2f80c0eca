"""Tables of clips: CSV, TSV, and lines of `wav|text`."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dialoom.data.clip import Rejection
from dialoom.errors import DataError


@dataclass(frozen=True)
class Row:
    """One entry of a table.

    Attributes:
        place: where it stands, "file:line".
        id: its name; empty if the table gives none.
        text: its transcript, as written; may be empty.
        audio: its file, as written; None if the table gives none.
        language: if the table has such a column and it is filled.
        speaker: likewise.
    """

    place: str
    id: str
    text: str
    audio: Path | None
    language: str | None = None
    speaker: str | None = None


def read_text(path: Path) -> str:
    """A whole text file; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); make it readable") from error


def is_file(path: Path) -> bool:
    """Whether there is such a file; no, where the system refuses the name as none it could have.

    `Path.is_file` raises there: a transcript in the column of the paths is too long for a name.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_table(
    path: Path, *, audio_columns: tuple[str, ...], text_columns: tuple[str, ...]
) -> Iterator[Row | Rejection]:
    """The rows of a table: a header names the columns, or each line is `wav|text`.

    A row with more fields than columns is refused: its text holds the delimiter and would be cut.

    Quotes quote in tables divided by ',' and ';' only: in TSV and '|' files they are part of the
    text, as Common Voice and LJSpeech write them.

    Raises:
        DataError: the table is empty, unreadable, or its header lacks an audio or a text column.
    """
    content = read_text(path)
    if not content.strip():
        raise DataError(f"{path}: the table is empty; give it a header and rows")
    delimiter = _delimiter(path, content.split("\n", 1)[0])
    rows = list(_fields(path, content, delimiter))
    names = [name.lower() for name in rows[0][1]]
    audio = next((name for name in audio_columns if name in names), None)
    text = next((name for name in text_columns if name in names), None)
    if audio is not None and text is not None:
        del rows[0]
    elif delimiter == "|" and len(names) == 2:
        names = [audio, text] = [audio_columns[0], text_columns[0]]
    else:
        raise DataError(
            f"{path}: its header has the columns {', '.join(names)}; name one of "
            f"{', '.join(audio_columns)} and one of {', '.join(text_columns)}"
        )
    for place, fields in rows:
        if len(fields) > len(names):
            yield Rejection(
                place,
                reason=f"has {len(fields)} fields under {len(names)} columns",
                remedy=f"quote a text that holds '{delimiter}', or use another delimiter",
            )
        else:
            values = dict(zip(names, fields, strict=False))
            yield _row(place, values, audio=audio, text=text)


def _fields(path: Path, content: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Each row that is not blank: its place and its fields."""
    reader = csv.reader(
        io.StringIO(content),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if delimiter in ",;" else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        for fields in reader:
            if fields:
                yield f"{path.name}:{reader.line_num}", [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num}: {error}; mend the quotes of that row"
        ) from error


def _row(place: str, values: dict[str, str], *, audio: str, text: str) -> Row:
    return Row(
        place=place,
        id=values.get("id", ""),
        text=values.get(text, ""),
        audio=Path(values[audio]) if values.get(audio) else None,
        language=values.get("language") or None,
        speaker=values.get("speaker") or None,
    )


def _delimiter(path: Path, first_line: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in ("|", "\t", ";") if mark in first_line), ",")
