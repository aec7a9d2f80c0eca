"""One Parquet file of a corpus: the columns of a clip, and what made the file.

The file's own metadata carries the codec, the source, the fingerprint of the part of the source
that it was made from, and the clips of that part which were refused. So a shard is its own proof
that it is finished: there is no journal beside it that could disagree.

A shard that is being made is kept under a name of its own, `data-00000.parquet.begun`: the same
kind of file, with what became of the first entries of its part. Readers of Parquet pass it over.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dialoom.codec.base import CodecSpec, Codes
from dialoom.data.atomic import atomic_path
from dialoom.data.clip import Clip, Rejection
from dialoom.data.processing import UNPROCESSED, Processing, read_processing
from dialoom.errors import DataError

ROWS_PER_GROUP = 16
"""Clips that are read together, about 150 kB of codes: small, because training reads at random."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("duration_s", pa.float64()),
        ("num_frames", pa.int32()),
        ("codes", pa.list_(pa.uint16())),
        ("source", pa.string()),
        ("confidence", pa.float64()),
    ]
)

_METADATA_KEY = b"dialoom"


@dataclass(frozen=True)
class ShardInfo:
    """What a shard's metadata says.

    Attributes:
        codec: the codec of its codes.
        fingerprint: hash of the source entries and settings that it was made from.
        rejections: the entries that did not become clips.
        source: which source that was; empty if whoever wrote the shard did not say.
        processing: what was done to its clips before the codec.
    """

    codec: CodecSpec
    fingerprint: str
    rejections: tuple[Rejection, ...] = ()
    source: str = ""
    processing: Processing = UNPROCESSED


SHARD_PATTERN = "data-[0-9][0-9][0-9][0-9][0-9].parquet"


def shard_name(index: int) -> str:
    return f"data-{index:05d}.parquet"


def shard_paths(corpus: Path) -> list[Path]:
    """All shards of a directory in the order of their numbers."""
    return sorted(corpus.glob(SHARD_PATTERN))


def begun_paths(corpus: Path) -> list[Path]:
    """The shards that an interrupted run has begun."""
    return sorted(corpus.glob("data-[0-9][0-9][0-9][0-9][0-9].parquet.begun"))


def temporary_paths(corpus: Path) -> list[Path]:
    """What a run that was killed was writing."""
    return sorted(corpus.glob("*.tmp"))


def begun_path(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.begun")


def write_shard(path: Path, clips: Sequence[Clip], splits: Sequence[str], info: ShardInfo) -> None:
    """Writes a shard whole or not at all.

    Raises:
        DataError: a clip's codes have another number of codebooks than the codec.
    """
    for clip in clips:
        if clip.codes.num_codebooks != info.codec.num_codebooks:
            raise DataError(
                f"clip {clip.id}: {clip.codes.num_codebooks} codebooks, codec {info.codec.name} "
                f"has {info.codec.num_codebooks}; encode it with that codec"
            )
    frames = [clip.codes.num_frames for clip in clips]
    columns = {
        "id": [clip.id for clip in clips],
        "text": [clip.text for clip in clips],
        "language": [clip.language for clip in clips],
        "speaker": [clip.speaker for clip in clips],
        "split": splits,
        "duration_s": [count / info.codec.frames_per_second for count in frames],
        "num_frames": frames,
        "codes": [clip.codes.frames.astype(np.uint16).reshape(-1) for clip in clips],
        "source": [clip.source for clip in clips],
        "confidence": [clip.confidence for clip in clips],
    }
    metadata = {_METADATA_KEY: json.dumps(asdict(info)).encode()}
    table = pa.table(columns, schema=SCHEMA.with_metadata(metadata))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROWS_PER_GROUP, compression="zstd")


def read_shard_metadata(path: Path) -> pq.FileMetaData:
    """What the end of the file says: rows, groups, columns, and our own.

    Raises:
        DataError: the file is damaged.
    """
    with damage_told(path):
        return pq.read_metadata(path)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raises DataError where a shard that is read within turns out to be damaged."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def read_shard_info(path: Path) -> ShardInfo:
    """What the shard says of itself.

    Raises:
        DataError: the file is damaged or was not written by dialoom.
    """
    return shard_info(path, read_shard_metadata(path).metadata)


def shard_info(path: Path, metadata: Mapping[bytes, bytes] | None) -> ShardInfo:
    """The same of metadata that was read.

    Raises:
        DataError: it was not written by dialoom.
    """
    try:
        values = json.loads((metadata or {})[_METADATA_KEY])
        return ShardInfo(
            codec=CodecSpec(**values["codec"]),
            fingerprint=values["fingerprint"],
            rejections=tuple(Rejection(**item) for item in values["rejections"]),
            source=values.get("source", ""),
            processing=read_processing(values.get("processing")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: damaged, or no shard of dialoom ({type(error).__name__}); remove it and run "
        "`dialoom prepare` again"
    )


def read_clips(path: Path) -> list[Clip]:
    """All clips of a shard, with their codes."""
    num_codebooks = read_shard_info(path).codec.num_codebooks
    with damage_told(path):
        table = pq.read_table(path)
    texts = ["id", "text", "language", "speaker", "source", "confidence"]
    return [
        Clip(**row, codes=_codes(flat, num_codebooks))
        for row, flat in zip(table.select(texts).to_pylist(), table["codes"], strict=True)
    ]


def _codes(flat: "pa.ListScalar", num_codebooks: int) -> Codes:
    """The codes of one cell: frame-major, (F, C)."""
    return Codes(flat.values.to_numpy().reshape(-1, num_codebooks))
