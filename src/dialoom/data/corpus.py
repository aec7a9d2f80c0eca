"""A corpus: codes with their transcripts, in a directory that any Parquet reader reads.

    corpus.json          what it holds and which codec made it; written last, so it means "finished"
    data-00000.parquet   … shards, columns as in data/shard.py
    index.feather        the small columns once more, all together: data/index.py
    rejected.jsonl       the entries of the source that did not become clips

data/writer.py makes it; here it is read.

The split of a clip is a pure function of its id and the fraction: it never depends on the other
clips, so a corpus may grow, or be prepared in another order, and no clip of `valid` ever turns up
in `train`. The price: the fraction holds on average, and a corpus of few clips may have none in
`valid`; a larger fraction only moves clips from `train` to `valid`.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int32
from pydantic import BaseModel, ConfigDict, ValidationError

from dialoom.audio import RESAMPLER
from dialoom.codec.base import CodecSpec, Codes
from dialoom.data.clip import Clip
from dialoom.data.index import read_index
from dialoom.data.remote import is_remote, local_copy
from dialoom.data.shard import (
    begun_paths,
    damage_told,
    read_shard_metadata,
    shard_info,
    shard_name,
    shard_paths,
)
from dialoom.errors import DataError

Split = Literal["train", "valid"]

INFO_FILE = "corpus.json"
DEFAULT_VALID_FRACTION = 0.05

CHECKED_ON_OPEN = 64
"""Shards that are compared with corpus.json at once; the others are when they are first read."""

_READ_TOGETHER = (("split", "num_frames"), ("id", "text", "language"))


class CorpusInfo(BaseModel):
    """What corpus.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    codec: CodecSpec
    source: str = ""
    """Which source it was made from: its name, and a hash of its place."""
    resampler: str = RESAMPLER
    loudness: str | None = None
    """How loudness was normalised; null: not at all."""
    edge_silence_s: float | None = None
    """How much silence before and after the speech was left; null: all of it."""
    text: str | None = None
    """The form that transcripts were brought into; null: not recorded."""
    max_text_bytes: int | None = None
    """Clips with longer transcripts were refused; null: not recorded."""
    max_frames: int | None = None
    """Longer clips were refused; null: not recorded."""
    valid_fraction: float
    num_shards: int
    clips_per_shard: tuple[int, ...] | None = None
    """So that no shard must be opened to find a clip; null: not recorded."""
    num_clips: int
    num_train: int
    num_valid: int
    num_rejected: int
    hours: float
    languages: tuple[str, ...]
    speakers: tuple[str, ...]


def split_of(clip_id: str, valid_fraction: float) -> Split:
    """The split of a clip: the id's sha256, read as a number in 0…1, lies below the fraction."""
    digest = hashlib.sha256(clip_id.encode("utf-8")).digest()
    return "valid" if int.from_bytes(digest[:8]) < valid_fraction * 2**64 else "train"


def refuse_other_codec(place: Path, *, found: CodecSpec, expected: CodecSpec) -> None:
    """Raises DataError where codes of one codec would meet another; its name does not matter."""
    if found.content_hash != expected.content_hash:
        raise DataError(
            f"{place}: its codes were made by codec {found.name} ({found.content_hash[:12]}), not "
            f"by {expected.name} ({expected.content_hash[:12]}); use that codec or another corpus"
        )
    for field in ("sample_rate_hz", "hop_length", "num_codebooks", "codebook_size"):
        if getattr(found, field) != getattr(expected, field):
            raise DataError(
                f"{place}: its codes have {field} {getattr(found, field)}, expected "
                f"{getattr(expected, field)}; prepare it again with this codec"
            )


class Corpus:
    """A finished corpus. Nothing is read before it is asked for: columns whole, clips by the group.

    Opening a million clips reads corpus.json and lists the directory. Holds no open file, so it may
    be pickled and used in forked processes.
    """

    def __init__(self, path: Path, info: CorpusInfo, clips_per_shard: Sequence[int]) -> None:
        self.path = path
        self.info = info
        self._shards = shard_paths(path)
        self._first_clips = np.cumsum([0, *clips_per_shard])
        self._metadata: dict[int, pq.FileMetaData] = {}
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._cached: tuple[int, int, pa.Table] | None = None

    @classmethod
    def open(cls, path: str | Path) -> "Corpus":
        """Opens a corpus that `dialoom prepare` finished; s3://… and its like: a copy of it.

        Raises:
            DataError: there is none, it is unfinished, damaged, or its files do not match. What is
                wrong with a shard beyond the first 64 is raised when that is first read.
        """
        path = local_copy(str(path)) if is_remote(path) else Path(path)
        info = read_info(path)
        shards = shard_paths(path)
        if [shard.name for shard in shards] != [shard_name(i) for i in range(info.num_shards)]:
            raise DataError(
                f"corpus {path}: {INFO_FILE} counts {info.num_shards} shards, {len(shards)} are "
                "there; run `dialoom prepare` again"
            )
        counts = info.clips_per_shard or [read_shard_metadata(shard).num_rows for shard in shards]
        if len(counts) != len(shards) or sum(counts) != info.num_clips:
            raise DataError(
                f"corpus {path}: {INFO_FILE} counts {info.num_clips} clips, the shards hold "
                f"{sum(counts)}; run `dialoom prepare` again"
            )
        corpus = cls(path, info, counts)
        for shard in range(min(len(shards), CHECKED_ON_OPEN)):
            corpus._open_shard(shard)
        return corpus

    def __len__(self) -> int:
        return int(self._first_clips[-1])

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        shard = int(np.searchsorted(self._first_clips, index, side="right")) - 1
        group, row = self._read_group(shard, index - int(self._first_clips[shard]))
        names = ("id", "text", "language", "speaker", "source")
        flat = group["codes"][row].values.to_numpy()
        return Clip(
            **{name: group[name][row].as_py() for name in names},
            codes=Codes(flat.reshape(-1, self.info.codec.num_codebooks)),
        )

    @cached_property
    def lengths(self) -> Int32[np.ndarray, " num_clips"]:
        """Frames of every clip; reads no codes."""
        lengths: Int32[np.ndarray, " num_clips"] = self._column("num_frames").to_numpy()
        return lengths

    @property
    def texts(self) -> list[tuple[str, str | None]]:
        """Transcript and language of every clip."""
        texts, languages = self._column("text"), self._column("language")
        return list(zip(texts.to_pylist(), languages.to_pylist(), strict=True))

    def read_speakers(self) -> list[str | None]:
        """The voice of every clip. Slow for a million: the index does not have this column."""
        speakers: list[str | None] = self._read_shards(["speaker"])["speaker"].to_pylist()
        return speakers

    @cached_property
    def fingerprint(self) -> str:
        """Equal for corpora that train alike: sha256 of the codec and of every clip, in order.

        Of a clip count its id, text, language, split and number of frames; codes are not read.
        """
        digest = hashlib.sha256(self.info.codec.content_hash.encode())
        for name in ("id", "text", "language", "split", "num_frames"):
            digest.update(json.dumps(self._column(name).to_pylist()).encode())
        return digest.hexdigest()

    def indices(self, split: Split) -> list[int]:
        """Where the clips of a split are."""
        is_in = pc.equal(self._column("split"), split).to_numpy()
        places: list[int] = np.flatnonzero(is_in).tolist()
        return places

    def _column(self, name: str) -> pa.ChunkedArray:
        """One column of all shards, from now on in memory with those that are read beside it."""
        if name not in self._columns:
            together = next(names for names in _READ_TOGETHER if name in names)
            table = read_index(self.path, together)
            if table is None or table.num_rows != len(self):
                table = self._read_shards(together)
            table = table.combine_chunks()
            self._columns |= {column: table[column] for column in together}
        return self._columns[name]

    def _read_shards(self, columns: Sequence[str]) -> pa.Table:
        """Slow: a million clips lie in 62,500 groups."""
        tables = []
        for shard, path in enumerate(self._shards):
            file = self._open_shard(shard)
            with damage_told(path):
                tables.append(file.read(columns=list(columns)).replace_schema_metadata())
        return pa.concat_tables(tables)

    def _read_group(self, shard: int, row: int) -> tuple[pa.Table, int]:
        """The rows that are stored with one of a shard, and its place among them."""
        file = self._open_shard(shard)
        for number in range(file.metadata.num_row_groups):
            num_rows = file.metadata.row_group(number).num_rows
            if row < num_rows:
                break
            row -= num_rows
        cached = self._cached  # read once: another thread may put another group there
        if cached is None or cached[:2] != (shard, number):
            with damage_told(self._shards[shard]):
                cached = self._cached = (shard, number, file.read_row_group(number))
        return cached[2], row

    def _open_shard(self, shard: int) -> pq.ParquetFile:
        """Raises DataError where the shard is not what corpus.json says, when it is first read."""
        path = self._shards[shard]
        if shard not in self._metadata:
            metadata = read_shard_metadata(path)
            found = shard_info(path, metadata.metadata)
            refuse_other_codec(path, found=found.codec, expected=self.info.codec)
            expected = int(self._first_clips[shard + 1] - self._first_clips[shard])
            if metadata.num_rows != expected:
                raise DataError(
                    f"corpus {self.path}: {INFO_FILE} counts {expected} clips in {path.name}, it "
                    f"holds {metadata.num_rows}; run `dialoom prepare` again"
                )
            self._metadata[shard] = metadata
        return pq.ParquetFile(path, memory_map=True, metadata=self._metadata[shard])


def read_info(path: Path) -> CorpusInfo:
    """What corpus.json says.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = path / INFO_FILE
    if not file.is_file():
        begun = path.is_dir() and (shard_paths(path) or begun_paths(path))
        raise DataError(
            f"corpus {path}: no {INFO_FILE} in it; "
            + ("it is unfinished: run the same" if begun else "make it with")
            + " `dialoom prepare`"
            + (" again" if begun else "")
        )
    try:
        return CorpusInfo.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        reason = str(error).replace("\n", " ")
        raise DataError(f"{file}: not readable ({reason}); run `dialoom prepare` again") from error


def read_columns(shards: Sequence[Path], columns: list[str]) -> pa.Table:
    """These columns of all shards, in memory."""
    tables = []
    for shard in shards:
        with damage_told(shard):
            tables.append(pq.read_table(shard, columns=columns).replace_schema_metadata())
    return pa.concat_tables(tables).combine_chunks()
