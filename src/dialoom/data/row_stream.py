"""Datasets of the Hub (or of a directory) as a stream of rows: nothing is downloaded in advance.

`datasets` finds the files and reads them as they come; the audio is left as bytes and decoded by
us. The order of the rows is that of the files, split after split, so a row has a number that stays,
and a state, kept every so many rows, opens the stream there without reading what lies before it.
"""

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from dialoom.audio import AUDIO_SUFFIXES, AudioFileError
from dialoom.data.audio_ref import Member
from dialoom.data.clip import Rejection
from dialoom.data.columns import ALIASES, Columns
from dialoom.data.entries import Entry, member_entry
from dialoom.data.table_rows import first_line
from dialoom.errors import DataError

EXTRA = "streaming"

JSON_COLUMN, TEXT_COLUMN = "json", "txt"
"""What `datasets` calls the texts of a WebDataset, whose audio columns are called by format."""


@dataclass(frozen=True)
class StreamedAudio(Member):
    """One recording of a stream.

    Attributes:
        name: of its row.
        data: the audio file; None where the row names a place only.
        place: of the audio file, such as hf://…; None where the row holds it.
    """

    name: str
    data: bytes | None = field(repr=False)
    place: str | None = None

    is_on_disk: ClassVar[bool] = False

    @property
    def identity(self) -> tuple[Hashable, ...]:
        return (self.name,)

    def read(self, container: Path) -> bytes:
        if self.data is not None:
            return self.data
        if self.place is None:
            raise AudioFileError(container, reason="holds no audio", remedy="remove the row")
        import fsspec

        try:
            with fsspec.open(self.place, "rb") as file:
                data = file.read()
        except (OSError, ValueError) as error:
            reason = f"{self.place} cannot be read ({first_line(error)})"
            raise AudioFileError(container, reason=reason, remedy="correct the path") from error
        assert isinstance(data, bytes)
        return data


@dataclass(frozen=True)
class StreamState:
    """Where a stream may be opened.

    Attributes:
        row: number of the next row, over all splits.
        split: that it is in.
        row_of_split: its number there.
        inner: what `datasets` needs to begin there.
    """

    row: int
    split: str
    row_of_split: int
    inner: Mapping[str, Any]

    def to_json(self) -> str:
        return json.dumps([self.row, self.split, self.row_of_split, self.inner])

    @classmethod
    def from_json(cls, text: str) -> "StreamState":
        """Inverse of `to_json`.

        Raises:
            ValueError, TypeError: it is not such a state.
        """
        return cls(*json.loads(text))


class RowStream:
    """The rows of a dataset as entries.

    Attributes:
        identity: changes with the files of the dataset.
        num_rows: in all; 0 where the dataset does not say.
    """

    def __init__(self, source: str, columns: Columns, *, subset: str | None = None) -> None:
        """Looks up the files; reads none.

        Args:
            source: a Hub id, or a directory that `datasets` reads.
            columns: what it calls its columns, where that is not guessed.
            subset: which of several configurations.

        Raises:
            DataError: there is no such dataset, or the extra is missing.
        """
        self._source = source
        self._columns = columns
        self._splits, self.identity, self.num_rows = _open(source, subset)
        self.states: dict[int, StreamState] = {}

    def entries(self, first_row: int, state: StreamState | None, *, every: int) -> Iterator[Entry]:
        """The entries from `first_row` on, and while they are drawn, `states` of each `every` rows.

        Args:
            first_row: counted over all splits.
            state: of this row or one before; without one the stream is read from its start.
            every: at which rows a state is kept, in `states` by its row.

        Raises:
            DataError: the stream breaks off, or has no audio or no text column.
        """
        row = state.row if state else 0
        splits = sorted(self._splits)
        for split in splits[splits.index(state.split) if state else 0 :]:
            dataset = self._splits[split]
            number = 0
            if state is not None and state.split == split:
                dataset.load_state_dict(dict(state.inner))
                number = state.row_of_split
            reader = _Reader(split, list(dataset.column_names or ()), self._columns)
            for values in self._rows(dataset, row):
                if row >= first_row:
                    yield reader.entry(number, values)
                row, number = row + 1, number + 1
                if row % every == 0:
                    self.states[row] = StreamState(row, split, number, dataset.state_dict())

    def _rows(self, dataset: Any, row: int) -> Iterator[dict[str, Any]]:
        """What breaks off goes on in the next run: the state of the last part is kept."""
        try:
            for values in dataset:
                row += 1
                yield values
        except (OSError, EOFError, ValueError, pa.ArrowException) as error:
            raise DataError(
                f"source {self._source}: the stream broke off after row {row} "
                f"({first_line(error)}); run the same command again: it goes on"
            ) from error


class _Reader:
    """From the values of a row to its entry."""

    def __init__(self, split: str, names: list[str], columns: Columns) -> None:
        self._split = split
        self._columns = columns
        lower = {name.lower(): name for name in names}
        formats = (suffix[1:] for suffix in AUDIO_SUFFIXES)
        audio = columns.find("audio", lower) or next((f for f in formats if f in lower), None)
        has_text = columns.find("text", lower) or {JSON_COLUMN, TEXT_COLUMN} & lower.keys()
        if audio is None or not has_text:
            raise DataError(f"split {split}: {columns.describe(names)}; map others by --columns")
        self._audio = lower[audio]

    def entry(self, number: int, values: Mapping[str, Any]) -> Entry:
        place = f"{self._split}:{number}"
        own = {name.lower(): value for name, value in values.items() if name != self._audio}
        record = own.pop(JSON_COLUMN, None)
        if isinstance(record, dict):
            own = {str(name).lower(): value for name, value in record.items()} | own
        own.setdefault("text", own.pop(TEXT_COLUMN, None))
        row = self._columns.row(place, {name: v for name, v in own.items() if name in self._wanted})
        if isinstance(row, Rejection):
            return row
        if isinstance(record, dict) and not self._maps_times:
            row = replace(row, segment=None)  # where in a longer recording it was cut from
        audio = values[self._audio]
        data = audio.get("bytes") if isinstance(audio, dict) else audio
        where = audio.get("path") if isinstance(audio, dict) else None
        member = (
            StreamedAudio(place, None, data)
            if isinstance(data, str)
            else StreamedAudio(place, data, where)
        )
        return member_entry(Path(place), member, row, name=f"{self._split}/{number}")

    @property
    def _wanted(self) -> set[str]:
        return {name for f in ALIASES if f != "audio" for name in self._columns.candidates(f)}

    @property
    def _maps_times(self) -> bool:
        return bool({"start", "end"} & {field for field, _ in self._columns.names})


def _open(source: str, subset: str | None) -> tuple[dict[str, Any], str, int]:
    """The splits, a hash of their files, and how many rows there are; 0 if that is not known."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"--streaming needs the package datasets: pip install 'dialoom[{EXTRA}]'"
        ) from error
    try:
        builder = datasets.load_dataset_builder(source, subset)
        splits = builder.as_streaming_dataset()
    except (OSError, ValueError, NotImplementedError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"source {source}: cannot be streamed ({first_line(error)}); correct the name, or "
            "name one of its configurations by --subset"
        ) from error
    known = builder.info.splits or {}
    num_rows = sum(split.num_examples or 0 for split in known.values())
    plain = {name: _without_audio_type(split) for name, split in splits.items()}
    return plain, f"{builder.config_id} {builder.hash}", num_rows


def _without_audio_type(split: Any) -> Any:
    """Its recordings as bytes and paths: `datasets` would want torchcodec for what it calls Audio.

    `decode(False)` is not enough for WebDatasets, whose rows are encoded by their types.
    """
    from datasets import Audio, Features, Value

    if split.features is None:
        return split
    plain = {"bytes": Value("binary"), "path": Value("string")}
    kinds = {n: plain if isinstance(kind, Audio) else kind for n, kind in split.features.items()}
    return split.cast(Features(kinds))
