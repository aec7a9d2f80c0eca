"""Writes a corpus shard by shard: what is there and unchanged is kept, nothing is lost unasked.

Refused: codes of two codecs or clips of two sources in one directory.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dialoom.codec.base import CodecSpec
from dialoom.data.atomic import atomic_path
from dialoom.data.clip import Clip, Rejection
from dialoom.data.corpus import (
    DEFAULT_VALID_FRACTION,
    INFO_FILE,
    CorpusInfo,
    read_columns,
    read_info,
    refuse_other_codec,
    split_of,
)
from dialoom.data.index import INDEX_COLUMNS, write_index
from dialoom.data.processing import UNPROCESSED, Processing
from dialoom.data.shard import (
    ShardInfo,
    begun_path,
    begun_paths,
    read_clips,
    read_shard_info,
    shard_name,
    shard_paths,
    temporary_paths,
    write_shard,
)
from dialoom.errors import DataError

REJECTED_FILE = "rejected.jsonl"


class CorpusWriter:
    """Makes a corpus, or brings one up to date.

    Args:
        path: the directory.
        codec: of the codes that will be written.
        valid_fraction: share of the clips that becomes the split `valid`.
        source: which source the clips come from; empty if it does not matter.
        processing: what is done to each clip before the codec.
    """

    def __init__(
        self,
        path: Path,
        codec: CodecSpec,
        *,
        valid_fraction: float = DEFAULT_VALID_FRACTION,
        source: str = "",
        processing: Processing = UNPROCESSED,
    ) -> None:
        """Opens or makes the directory.

        Raises:
            DataError: it holds codes of another codec or clips processed otherwise, or is no
                directory.
        """
        if path.exists() and not path.is_dir():
            raise DataError(f"corpus {path}: is a file; name a directory")
        if not 0 <= valid_fraction < 1:
            raise DataError(f"valid_fraction {valid_fraction}: must be at least 0 and below 1")
        self._path = path
        self._codec = codec
        self._valid_fraction = valid_fraction
        self._source = source
        self._processing = processing
        files = [*shard_paths(path), *begun_paths(path)]
        self._found = {file.name: read_shard_info(file) for file in files}
        for name, info in self._found.items():
            refuse_other_codec(path / name, found=info.codec, expected=codec)
            self._refuse_other_processing(info.processing)
        path.mkdir(parents=True, exist_ok=True)

    def _refuse_other_processing(self, found: Processing) -> None:
        differences = self._processing.differences(found)
        if differences:
            raise DataError(
                f"corpus {self._path}: its clips were prepared with {differences}; use the same "
                "settings, name another directory, or remove this one"
            )

    def refuse_other_source(self, fingerprints: Sequence[str]) -> None:
        """Refuses to replace the clips of one source by those of another.

        A source that was moved is still the same if a shard has one of `fingerprints`, those of
        its parts.

        Raises:
            DataError: the directory holds another source.
        """
        found = self._found.values()
        sources = [name for name in (self._finished_source(), *(i.source for i in found)) if name]
        if not self._source or not sources or self._source in sources:
            return
        if {info.fingerprint for info in found}.isdisjoint(fingerprints):
            raise DataError(
                f"corpus {self._path}: holds clips of another source, {sources[0]}, not of "
                f"{self._source}; name another directory, or remove this one"
            )

    def has(self, index: int, fingerprint: str) -> bool:
        """Whether this shard is finished and was made from the same entries and settings."""
        info = self._found.get(shard_name(index))
        return info is not None and info.fingerprint == fingerprint

    def num_clips(self, index: int) -> int:
        """Clips of the finished shard that is there; 0 if there is none."""
        path = self._path / shard_name(index)
        return int(pq.read_metadata(path).num_rows) if path.name in self._found else 0

    def num_entries(self, index: int) -> int:
        """Clips and rejections of the finished shard that is there; 0 if there is none."""
        info = self._found.get(shard_name(index))
        return 0 if info is None else self.num_clips(index) + len(info.rejections)

    def begun(self, index: int, fingerprint: str) -> tuple[list[Clip], list[Rejection]]:
        """What an earlier run saved of this shard, if it had the same entries and settings."""
        path = begun_path(self._path / shard_name(index))
        info = self._found.get(path.name)
        if info is None or info.fingerprint != fingerprint:
            return [], []
        return read_clips(path), list(info.rejections)

    def save(
        self,
        index: int,
        clips: Sequence[Clip],
        *,
        fingerprint: str,
        rejections: Sequence[Rejection],
    ) -> None:
        """Keeps what is ready of a shard for `begun`; a finished shard stays as it is."""
        path = begun_path(self._path / shard_name(index))
        self._write(path, clips, fingerprint, rejections)

    def write(
        self,
        index: int,
        clips: Sequence[Clip],
        *,
        fingerprint: str = "",
        rejections: Sequence[Rejection] = (),
    ) -> None:
        """Writes one shard; until `finish`, the directory is no corpus.

        Raises:
            DataError: a clip has another number of codebooks than the codec.
        """
        (self._path / INFO_FILE).unlink(missing_ok=True)
        path = self._path / shard_name(index)
        self._write(path, clips, fingerprint, rejections)
        begun_path(path).unlink(missing_ok=True)

    def finish(self, num_shards: int) -> CorpusInfo:
        """Removes shards from `num_shards` on, writes rejected.jsonl, the index and corpus.json.

        Nothing else that earlier runs left remains, as if one run had made it.

        Raises:
            DataError: no clip could be used.
        """
        stale = [*shard_paths(self._path)[num_shards:], *begun_paths(self._path)]
        for file in [*stale, *temporary_paths(self._path)]:
            file.unlink()
        rejections = self.rejections()
        with atomic_path(self._path / REJECTED_FILE) as temporary:
            lines = [json.dumps(asdict(item), ensure_ascii=False) for item in rejections]
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        shards = shard_paths(self._path)
        assert [shard.name for shard in shards] == [shard_name(i) for i in range(num_shards)]
        table = read_columns(shards, [*INDEX_COLUMNS, "speaker"])
        info = self._summarise(table, num_rejected=len(rejections))
        if info.num_clips == 0:
            first = f"; the first: {rejections[0]}" if rejections else ""
            raise DataError(
                f"corpus {self._path}: none of {len(rejections)} entries can be used{first}; "
                f"see {REJECTED_FILE} for all"
            )
        write_index(self._path, table.select(list(INDEX_COLUMNS)))
        with atomic_path(self._path / INFO_FILE) as temporary:
            temporary.write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return info

    def rejections(self) -> list[Rejection]:
        """The refused entries of all shards that are written, in the order of the source."""
        infos = [read_shard_info(shard) for shard in shard_paths(self._path)]
        return [rejection for info in infos for rejection in info.rejections]

    def _finished_source(self) -> str:
        """What corpus.json says; it is newer than the shards where a source was moved."""
        try:
            return read_info(self._path).source
        except DataError:  # unfinished or damaged: the shards say it, and it will be written anew
            return ""

    def _write(
        self, path: Path, clips: Sequence[Clip], fingerprint: str, rejections: Sequence[Rejection]
    ) -> None:
        info = ShardInfo(
            self._codec, fingerprint, tuple(rejections), self._source, self._processing
        )
        splits = [split_of(clip.id, self._valid_fraction) for clip in clips]
        write_shard(path, clips, splits, info)

    def _summarise(self, table: pa.Table, *, num_rejected: int) -> CorpusInfo:
        shards = shard_paths(self._path)
        num_valid = table["split"].to_pylist().count("valid")
        num_frames = sum(table["num_frames"].to_pylist())
        return CorpusInfo(
            codec=self._codec,
            source=self._source,
            **self._processing.record(),
            valid_fraction=self._valid_fraction,
            num_shards=len(shards),
            clips_per_shard=tuple(pq.read_metadata(shard).num_rows for shard in shards),
            num_clips=table.num_rows,
            num_train=table.num_rows - num_valid,
            num_valid=num_valid,
            num_rejected=num_rejected,
            hours=num_frames / self._codec.frames_per_second / 3600,
            languages=_distinct(table["language"]),
            speakers=_distinct(table["speaker"]),
        )


def _distinct(column: pa.ChunkedArray) -> tuple[str, ...]:
    return tuple(sorted(set(column.drop_null().to_pylist())))
