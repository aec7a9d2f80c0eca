"""Hugging Face datasets: Parquet files on disk or on the Hub, or a directory of `save_to_disk`.

The audio is a struct of bytes and path, plain bytes, or the path of a file; it is decoded by us.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dialoom.data.clip import Rejection
from dialoom.data.columns import ALIASES, Columns
from dialoom.data.entries import Entry, file_entry, member_entry, path_name
from dialoom.data.table_rows import CellReader, TableCell, first_line, read_batches, read_schema
from dialoom.data.tables import list_files
from dialoom.errors import DataError

SUFFIXES = (".parquet", ".arrow")

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
REVISIONS = ("main", "refs/convert/parquet")
"""Of a dataset on the Hub; the Hub itself keeps the second for the public ones."""


@dataclass(frozen=True)
class _Table:
    """One file of a dataset.

    Attributes:
        path: the file.
        name: its path in the source.
        audio: the column of the recordings, as the file writes it.
        embedded: whether that holds their bytes, not their paths.
        names: column in lower case → as the file writes it; without the recordings.
        reader: of the recordings.
    """

    path: Path
    name: str
    audio: str
    embedded: bool
    names: dict[str, str]
    reader: CellReader = field(repr=False)


def read_hugging_face(path: Path, columns: Columns) -> Iterator[Entry]:
    """The rows of a file, or of all files at any depth, in the order of their names.

    Raises:
        DataError: there are no such files, or none of them can be used.
    """
    root = path if path.is_dir() else path.parent
    files = _find_files(path)
    if not files:
        raise DataError(f"source {path}: has no {' or '.join(SUFFIXES)} files; name another path")
    reader = CellReader()
    refused: list[Rejection] = []
    for file in files:
        name = path_name(file.relative_to(root))
        table = _open(file, name, columns, reader)
        if isinstance(table, _Table):
            yield from _read(root, table, columns)
        elif len(files) == len(refused) + 1:
            raise DataError(f"source {path}: {table}")
        else:
            refused.append(table)
            yield table


def download(repo_id: str) -> Path:
    """The Parquet files of a dataset on the Hub: its own, or those that the Hub makes of it.

    Raises:
        DataError: it cannot be reached, or has no Parquet files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    reason = "it has no Parquet files"
    for revision in REVISIONS:
        try:
            folder = snapshot_download(
                repo_id, repo_type="dataset", revision=revision, allow_patterns="*.parquet"
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = first_line(error)
            continue
        if any(Path(folder).rglob("*.parquet")):
            return Path(folder)
    raise DataError(
        f"source {repo_id}: no such file or directory, and as a dataset of the Hub it cannot be "
        f"used ({reason.rstrip('.')}); correct the name, or download it and name its directory"
    )


def _find_files(path: Path) -> list[Path]:
    """Not those that `datasets` keeps of its own computations."""
    if path.is_file():
        return [path]
    files = (file for file in list_files(path) if file.suffix in SUFFIXES)
    return [file for file in files if not file.name.startswith(("cache-", "tmp"))]


def _open(path: Path, name: str, columns: Columns, reader: CellReader) -> _Table | Rejection:
    """What is to be read of a file, or why nothing can be."""
    try:
        schema = read_schema(path)
        names = {column.lower(): column for column in schema.names}
        audio, text = (columns.find(field, names) for field in ("audio", "text"))
        if audio is None or text is None:
            return Rejection(name, columns.describe(list(names)), "map others by --columns")
        kind = schema.field(names[audio]).type
        embedded = _holds_bytes(kind) and not _only_paths(path, names[audio])
    except (pa.ArrowException, OSError) as error:
        reason = f"not readable as {path.suffix[1:]} ({first_line(error)})"
        return Rejection(name, reason=reason, remedy="download it again")
    wanted = {column for field in ALIASES if (column := columns.find(field, names)) is not None}
    others = {column: names[column] for column in sorted(wanted - {audio})}
    return _Table(path, name, names[audio], embedded, others, reader)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _only_paths(path: Path, audio: str) -> bool:
    """Whether the bytes of every row are null: the dataset was saved without its recordings."""
    if path.suffix != ".parquet":
        batches = (batch.column(audio) for _, batch in read_batches(path, [audio]))
        return all(
            pa.types.is_struct(array.type) and array.field("bytes").null_count == len(array)
            for array in batches
        )
    metadata = pq.read_metadata(path)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        found = [chunk.statistics for chunk in chunks if chunk.path_in_schema == f"{audio}.bytes"]
        if not found or found[0] is None or found[0].null_count != group.num_rows:
            return False
    return True


def _read(root: Path, table: _Table, columns: Columns) -> Iterator[Entry]:
    """The rows of one file; where it breaks off, that is listed."""
    wanted = [*table.names.values(), *([] if table.embedded else [table.audio])]
    row_number = 0
    try:
        for start, batch in read_batches(table.path, wanted):
            listed = {name: batch.column(own).to_pylist() for name, own in table.names.items()}
            paths = None if table.embedded else batch.column(table.audio).to_pylist()
            for i in range(batch.num_rows):
                row_number = start + i
                values: dict[str, object] = {name: column[i] for name, column in listed.items()}
                values[table.audio.lower()] = None if paths is None else _path(paths[i])
                yield _entry(root, table, columns, row_number, values)
    except (pa.ArrowException, OSError) as error:
        reason = f"cannot be read after row {row_number} ({first_line(error)})"
        yield Rejection(table.name, reason=reason, remedy="download it again")


def _path(value: object) -> object:
    return value.get("path") if isinstance(value, dict) else value


def _entry(
    root: Path, table: _Table, columns: Columns, number: int, values: dict[str, object]
) -> Entry:
    row = columns.row(f"{table.name}:{number}", values)
    if isinstance(row, Rejection):
        return row
    if not table.embedded:
        return file_entry(table.path.parent, row)
    name = f"{table.name.removesuffix(table.path.suffix)}/{number}"
    return member_entry(table.path, TableCell(table.audio, number, table.reader), row, name=name)
