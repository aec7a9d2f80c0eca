"""The small columns of all clips of a corpus, in one file beside its shards.

A shard keeps 16 clips together with their codes, because training reads clips at random; so a
column of a million clips lies in 62,500 places. This file, written when the corpus is finished,
has it in 16. It holds nothing that the shards do not, and names their sizes: where these are
others, or where there is no such file, as in corpora of earlier versions, the shards are read.

The format is Arrow's IPC file, which pandas and Polars read as "Feather"; not Parquet, so that
whoever reads all Parquet files of the directory does not get the clips twice.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from dialoom.data.atomic import atomic_path
from dialoom.data.shard import shard_paths

INDEX_FILE = "index.feather"
INDEX_COLUMNS = ("id", "text", "language", "split", "num_frames")

_ROWS_PER_BATCH = 1 << 16
_SHARDS_KEY = b"shards"


def write_index(corpus: Path, table: pa.Table) -> None:
    """Writes the index of a directory's shards; `table` has their rows in `INDEX_COLUMNS`."""
    schema = table.schema.with_metadata({_SHARDS_KEY: _digest(corpus)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with atomic_path(corpus / INDEX_FILE) as temporary:
        with pa.ipc.new_file(temporary, schema, options=options) as writer:
            writer.write_table(table.replace_schema_metadata(), max_chunksize=_ROWS_PER_BATCH)


def read_index(corpus: Path, columns: Sequence[str]) -> pa.Table | None:
    """Some of `INDEX_COLUMNS`, of all clips in their order; None if no index is of these shards."""
    fields = [INDEX_COLUMNS.index(column) for column in columns]
    try:
        with pa.OSFile(str(corpus / INDEX_FILE)) as file:
            options = pa.ipc.IpcReadOptions(included_fields=fields)
            reader = pa.ipc.open_file(file, options=options)
            if (reader.schema.metadata or {}).get(_SHARDS_KEY) != _digest(corpus):
                return None
            return reader.read_all().replace_schema_metadata().select(list(columns))
    except (OSError, pa.ArrowInvalid, KeyError):
        return None


def _digest(corpus: Path) -> bytes:
    """Of the names and sizes of all shards."""
    sizes = [(shard.name, shard.stat().st_size) for shard in shard_paths(corpus)]
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest().encode()
