"""JSON records of clips: one a line (JSONL, NeMo's manifests), or one beside its recording."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dialoom.data.clip import Rejection
from dialoom.data.columns import Columns, Row
from dialoom.data.tables import read_text
from dialoom.errors import DataError


def read_records(path: Path, columns: Columns) -> Iterator[Row | Rejection]:
    """The rows of a JSONL file, of which each line is an object.

    Raises:
        DataError: the file is unreadable, or one JSON array.
    """
    content = read_text(path)
    if content.lstrip().startswith("["):
        raise DataError(f"{path}: is one JSON array; write one object a line (JSONL)")
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield parse_record(f"{path.name}:{number}", line, columns)


def parse_record(place: str, text: str | bytes, columns: Columns) -> Row | Rejection:
    """The row that one JSON object makes."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"is no JSON ({str(error).splitlines()[0]})"
        return Rejection(place, reason=reason, remedy="mend it or remove it")
    if not isinstance(values, dict):
        return Rejection(place, reason="is no JSON object", remedy="write {…} with a text")
    return columns.row(place, {str(name).lower(): value for name, value in values.items()})


def parse_sidecar(place: str, text: str | bytes, columns: Columns) -> Row | Rejection:
    """As `parse_record`, of the record beside a recording that is its clip.

    Its times tell where in a longer recording that was cut from, as in Emilia, unless a person
    says that they do.
    """
    row = parse_record(place, text, columns)
    if isinstance(row, Rejection) or {"start", "end"} & {field for field, _ in columns.names}:
        return row
    return replace(row, segment=None)
