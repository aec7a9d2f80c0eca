"""Rows of Parquet files and of the Arrow files that `datasets` saves, read a few at a time."""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from dialoom.audio import AudioFileError
from dialoom.data.audio_ref import Member

ROWS_PER_READ = 16
READS_KEPT = 3
FILES_OPEN = 2
BUFFER_BYTES = 1 << 20

Batches = Generator[tuple[int, pa.RecordBatch], None, None]


def read_schema(path: Path) -> pa.Schema:
    """The columns of the file and their types.

    Raises:
        pa.ArrowException, OSError: it is neither Parquet nor an Arrow stream.
    """
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return stream.schema


def read_batches(path: Path, columns: list[str], *, from_row: int = 0) -> Batches:
    """Batches of rows with the number of their first row, from that of `from_row` on.

    Args:
        path: a .parquet or an .arrow file.
        columns: names; of a field of a struct, "struct.field".
        from_row: what lies before it may be left out.

    Raises:
        pa.ArrowException, OSError: the file is damaged.
    """
    reader = _read_parquet if path.suffix == ".parquet" else _read_arrow
    yield from reader(path, columns, from_row)


def _read_parquet(path: Path, columns: list[str], from_row: int) -> Batches:
    with pq.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
        start, groups = 0, list(range(file.num_row_groups))
        while groups and start + file.metadata.row_group(groups[0]).num_rows <= from_row:
            start += file.metadata.row_group(groups.pop(0)).num_rows
        for group in groups:
            for batch in file.iter_batches(ROWS_PER_READ, row_groups=[group], columns=columns):
                yield start, batch
                start += batch.num_rows


def _read_arrow(path: Path, columns: list[str], from_row: int) -> Batches:
    names = sorted({name.split(".")[0] for name in columns})
    start = 0
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            for first in range(0, batch.num_rows, ROWS_PER_READ):
                if start + first + ROWS_PER_READ > from_row:
                    yield start + first, batch.select(names).slice(first, ROWS_PER_READ)
            start += batch.num_rows


class _Cursor:
    """One column of one file, read forwards; a few reads are kept for threads that come late."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._kept: OrderedDict[int, pa.Array] = OrderedDict()
        self._batches: Batches | None = None

    def read(self, row: int) -> object:
        """The value, the same whatever was read before: a failure is tried again from the row."""
        newest = next(reversed(self._kept), None)
        reachable = newest is not None and row <= newest + READS_KEPT * ROWS_PER_READ
        if reachable and row >= next(iter(self._kept)):
            with suppress(pa.ArrowException, OSError, EOFError):  # read again below, from the row
                return self._forward(row)
        self.close()
        self._batches = read_batches(self._path, [self._column], from_row=row)
        try:
            return self._forward(row)
        except BaseException:
            self.close()
            raise

    def _forward(self, row: int) -> object:
        """Raises EOFError where the rows end before."""
        while True:
            for start, array in self._kept.items():
                if start <= row < start + len(array):
                    return array[row - start].as_py()
            start, batch = next(self._batches or iter(()), (0, None))
            if batch is None:
                raise EOFError("there are fewer rows")
            self._kept[start] = batch.column(self._column)
            if len(self._kept) > READS_KEPT:
                self._kept.popitem(last=False)

    def close(self) -> None:
        self._kept.clear()
        if self._batches is not None:
            self._batches.close()
            self._batches = None


class CellReader:
    """Reads cells that are asked for in about the order of their rows, by several threads."""

    def __init__(self) -> None:
        self._cursors: OrderedDict[tuple[Path, str], _Cursor] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> "tuple[type[CellReader], tuple[()]]":
        """Sent to another process, it opens the files there."""
        return CellReader, ()

    def read(self, path: Path, column: str, row: int) -> object:
        """The value of one cell.

        Raises:
            pa.ArrowException, OSError: the file is damaged.
            EOFError: it has fewer rows.
        """
        with self._lock:
            cursor = self._cursors.pop((path, column), None) or _Cursor(path, column)
            self._cursors[path, column] = cursor
            if len(self._cursors) > FILES_OPEN:
                self._cursors.popitem(last=False)[1].close()
            return cursor.read(row)


@dataclass(frozen=True)
class TableCell(Member):
    """The audio file in one row of a table.

    Attributes:
        column: of the audio, as bytes or as a struct with the field `bytes`.
        row: counted from 0.
        reader: what all cells of a source share.
    """

    column: str
    row: int
    reader: CellReader = field(compare=False, repr=False)

    @property
    def identity(self) -> tuple[str, int]:
        return (self.column, self.row)

    def read(self, container: Path) -> bytes:
        try:
            value = self.reader.read(container, self.column, self.row)
        except (pa.ArrowException, OSError, EOFError) as error:
            reason = f"row {self.row} cannot be read ({first_line(error)})"
            raise AudioFileError(container, reason=reason, remedy="download it again") from error
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise AudioFileError(
                container, reason=f"row {self.row} holds no audio", remedy="remove the row"
            )
        return data


def first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
