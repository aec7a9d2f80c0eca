"""A corpus: codes with their transcripts, in a directory that any Parquet reader reads.

    corpus.json          what it holds and which codec made it; written last, so it means "finished"
    data-00000.parquet   … shards, columns as in data/shard.py
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
import pyarrow.parquet as pq
from jaxtyping import Int32
from pydantic import BaseModel, ConfigDict, ValidationError

from dialoom.audio import RESAMPLER
from dialoom.codec.base import CodecSpec, Codes
from dialoom.data.clip import Clip
from dialoom.data.remote import is_remote, local_copy
from dialoom.data.shard import begun_paths, read_shard_info, shard_name, shard_paths
from dialoom.errors import DataError

Split = Literal["train", "valid"]

INFO_FILE = "corpus.json"
DEFAULT_VALID_FRACTION = 0.05

_META_COLUMNS = ["id", "text", "language", "speaker", "split", "num_frames", "source"]


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
    """A finished corpus. Texts and lengths are in memory, codes are read when asked for.

    Holds no open file, so it may be pickled and used in forked processes.
    """

    def __init__(self, path: Path, info: CorpusInfo) -> None:
        self.path = path
        self.info = info
        self._shards = shard_paths(path)
        self._table = read_columns(self._shards, _META_COLUMNS)
        self._metadata = [pq.read_metadata(shard) for shard in self._shards]
        self._groups = [
            (shard, group)
            for shard, metadata in enumerate(self._metadata)
            for group in range(metadata.num_row_groups)
        ]
        rows = [self._metadata[s].row_group(g).num_rows for s, g in self._groups]
        self._first_rows = np.cumsum([0, *rows])[:-1]
        self._cached: tuple[int, pa.ChunkedArray] | None = None

    @classmethod
    def open(cls, path: str | Path) -> "Corpus":
        """Opens a corpus that `dialoom prepare` finished; s3://… and its like: a copy of it.

        Raises:
            DataError: there is none, it is unfinished, damaged, or its files do not match.
        """
        path = local_copy(str(path)) if is_remote(path) else Path(path)
        info = read_info(path)
        shards = shard_paths(path)
        if [shard.name for shard in shards] != [shard_name(i) for i in range(info.num_shards)]:
            raise DataError(
                f"corpus {path}: {INFO_FILE} counts {info.num_shards} shards, {len(shards)} are "
                "there; run `dialoom prepare` again"
            )
        for shard in shards:
            refuse_other_codec(shard, found=read_shard_info(shard).codec, expected=info.codec)
        corpus = cls(path, info)
        if len(corpus) != info.num_clips:
            raise DataError(
                f"corpus {path}: {INFO_FILE} counts {info.num_clips} clips, the shards hold "
                f"{len(corpus)}; run `dialoom prepare` again"
            )
        return corpus

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        row = {name: self._table[name][index].as_py() for name in _META_COLUMNS}
        return Clip(
            id=row["id"],
            text=row["text"],
            language=row["language"],
            speaker=row["speaker"],
            codes=self._codes(index),
            source=row["source"],
        )

    @property
    def lengths(self) -> Int32[np.ndarray, " num_clips"]:
        """Frames of every clip; reads no codes."""
        lengths: Int32[np.ndarray, " num_clips"] = self._table["num_frames"].to_numpy()
        return lengths

    @property
    def texts(self) -> list[tuple[str, str | None]]:
        """Transcript and language of every clip."""
        texts, languages = self._table["text"].to_pylist(), self._table["language"].to_pylist()
        return list(zip(texts, languages, strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """Equal for corpora that train alike: sha256 of the codec and of every clip, in order.

        Of a clip count its id, text, language, split and number of frames; codes are not read.
        """
        digest = hashlib.sha256(self.info.codec.content_hash.encode())
        for name in ("id", "text", "language", "split", "num_frames"):
            digest.update(json.dumps(self._table[name].to_pylist()).encode())
        return digest.hexdigest()

    def indices(self, split: Split) -> list[int]:
        """Where the clips of a split are."""
        return [i for i, name in enumerate(self._table["split"].to_pylist()) if name == split]

    def _codes(self, index: int) -> Codes:
        group = int(np.searchsorted(self._first_rows, index, side="right")) - 1
        cached = self._cached
        if cached is None or cached[0] != group:
            shard, number = self._groups[group]
            file = pq.ParquetFile(
                self._shards[shard], memory_map=True, metadata=self._metadata[shard]
            )
            cached = (group, file.read_row_group(number, columns=["codes"])["codes"])
            self._cached = cached
        flat = cached[1][index - int(self._first_rows[group])].values.to_numpy()
        return Codes(flat.reshape(-1, self.info.codec.num_codebooks))


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
    tables = [pq.read_table(shard, columns=columns).replace_schema_metadata() for shard in shards]
    return pa.concat_tables(tables).combine_chunks()
