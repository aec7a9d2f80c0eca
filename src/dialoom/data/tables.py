"""Tables of clips: CSV, TSV, and lines of `wav|text`."""

import csv
import io
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from dialoom.data.clip import Rejection
from dialoom.data.columns import Columns, Row
from dialoom.errors import DataError


def read_text(path: Path) -> str:
    """A whole text file; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    with _readable(path):
        return path.read_text(encoding="utf-8-sig")


def read_first_line(path: Path) -> str:
    """Without its end; the rest of the file is not read.

    Raises:
        DataError: as `read_text`.
    """
    with _readable(path), path.open(encoding="utf-8-sig") as file:
        return file.readline().rstrip("\n")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
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


def find_file(folder: Path, name: Path) -> Path | None:
    """The file of this name in the folder, however its accents are written; None if there is none.

    macOS writes "ü" in file names as "u" and two dots (Unicode NFD), tables as one letter (NFC).
    """
    forms = [name, *(Path(unicodedata.normalize(form, str(name))) for form in ("NFC", "NFD"))]
    return next((folder / form for form in forms if is_file(folder / form)), None)


def list_files(root: Path) -> list[Path]:
    """All files at any depth, sorted; also those in directories that a link leads to.

    `Path.rglob` passes such links over: a speaker whose recordings lie on another disk. Links back
    into the root are not followed, and no directory is listed twice.
    """
    home = os.path.realpath(root)
    found: list[Path] = []
    listed: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in listed:
            names.clear()
            continue
        listed.add(place)
        found += [Path(folder, name) for name in files]
        names[:] = [name for name in sorted(names) if not _leads_into(home, Path(folder, name))]
    return sorted(found)


def _leads_into(home: str, directory: Path) -> bool:
    return directory.is_symlink() and Path(os.path.realpath(directory)).is_relative_to(home)


def read_table(path: Path, columns: Columns) -> Iterator[Row | Rejection]:
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
    if columns.find("audio", names) is not None and columns.find("text", names) is not None:
        del rows[0]
    elif delimiter == "|" and len(names) == 2 and not columns.names:
        names = ["audio", "text"]
    else:
        raise DataError(f"{path}: its header {columns.describe(names)}")
    for place, fields in rows:
        if len(fields) > len(names):
            yield Rejection(
                place,
                reason=f"has {len(fields)} fields under {len(names)} columns",
                remedy=f"quote a text that holds '{delimiter}', or use another delimiter",
            )
        else:
            yield columns.row(place, dict(zip_longest(names, fields, fillvalue="")))


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


def _delimiter(path: Path, first_line: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in ("|", "\t", ";") if mark in first_line), ",")
