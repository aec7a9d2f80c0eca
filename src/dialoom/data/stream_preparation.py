"""A stream of rows → corpus: as preparation.py, where what comes is not known before it is there.

The rows are divided into shards by their number. A shard's fingerprint is of the dataset's files,
the settings and the number of its first row, so finished shards are kept without a look at their
rows; `stream.json`, written after each shard, tells where the stream goes on.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path

from dialoom.codec.base import Codec
from dialoom.data import preparation
from dialoom.data.atomic import atomic_path
from dialoom.data.corpus import Corpus, read_columns
from dialoom.data.encoding import Engine, PrepareOptions
from dialoom.data.entries import Entry
from dialoom.data.lock import sole_writer
from dialoom.data.preparation import Part, PrepareSummary, ProgressCallback
from dialoom.data.row_stream import RowStream, StreamState
from dialoom.data.shard import shard_name
from dialoom.data.sources import refuse_duplicates
from dialoom.data.writer import CorpusWriter

STATE_FILE = "stream.json"


def prepare_stream(
    source: str,
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    subset: str | None = None,
    codec: Codec | None = None,
    progress: ProgressCallback | None = None,
) -> PrepareSummary:
    """Prepares a dataset that `datasets` streams; run again, it finishes what is there.

    Args:
        source: a Hub id, or a directory.
        out: the corpus directory.
        options: how; its format is of no account.
        subset: which of several configurations of the dataset.
        codec: takes the place of `options.codec`, already loaded.
        progress: hears how far it is; of rows in all it hears 0 where nobody knows.

    Raises:
        DataError: there is no such dataset, the stream breaks off, `out` holds codes of another
            codec or clips of another source, or no row can be used.
        CodecError: the codec cannot be loaded.
    """
    options, out = options or PrepareOptions(), Path(out)
    with sole_writer(out):
        stream = RowStream(source, options.columns, subset=subset)
        with preparation.open_engine(codec, options) as engine:
            writer = CorpusWriter(
                out,
                engine.spec,
                valid_fraction=options.valid_fraction,
                source=_identity(source, subset),
                processing=options.processing,
            )
            run = _StreamRun(stream, writer, out, options)
            num_parts, num_reused = run.go_on(engine, progress)
        return _finish(writer, out, num_parts, num_reused)


def _finish(writer: CorpusWriter, out: Path, num_parts: int, num_reused: int) -> PrepareSummary:
    info = writer.finish(num_parts)
    (out / STATE_FILE).unlink(missing_ok=True)
    unknown = preparation.find_unknown_tags(Corpus.open(out))
    return PrepareSummary(info, tuple(writer.rejections()), num_reused, unknown)


class _StreamRun:
    """One run of a stream into a directory."""

    def __init__(
        self, stream: RowStream, writer: CorpusWriter, out: Path, options: PrepareOptions
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._out = out
        self._options = options
        self._size = preparation.CLIPS_PER_SHARD

    def go_on(self, engine: Engine, progress: ProgressCallback | None) -> tuple[int, int]:
        """Writes all shards that are not there; how many there are, and clips that were."""
        index = self._num_finished()
        writer = self._writer
        writer.refuse_other_source([self._fingerprint(i) for i in range(index + 1)])
        num_reused = sum(writer.num_entries(i) for i in range(index))
        if num_reused < index * self._size:
            return index, num_reused  # only the last shard of a stream is not full
        part = self._begun(index)
        num_reused += part.num_done
        outcomes = engine.encode(self._entries(num_reused))
        told = preparation.tell(outcomes, progress, already=num_reused, total=self._stream.num_rows)
        while (head := list(islice(told, 1))) or part.num_done:
            rest = islice(told, max(0, self._size - part.num_done - len(head)))
            num_entries = preparation.finish_part(part, chain(head, rest), writer)
            self._save_state(part.index + 1)
            if num_entries < self._size:
                return part.index + 1, num_reused
            part = Part(part.index + 1, [], self._fingerprint(part.index + 1))
        return part.index, num_reused

    def _num_finished(self) -> int:
        index = 0
        while self._writer.has(index, self._fingerprint(index)):
            index += 1
        return index

    def _begun(self, index: int) -> Part:
        part = Part(index, [], self._fingerprint(index))
        part.clips, part.rejections = self._writer.begun(index, part.fingerprint)
        return part

    def _entries(self, first_row: int) -> Iterator[Entry]:
        """The entries from a row on; an id that an earlier shard has is refused."""
        state = self._read_state()
        if state is not None and state.row > first_row:
            state = None
        drawn = self._stream.entries(first_row, state, every=self._size)
        filled = (preparation.fill_in(entry, self._options) for entry in drawn)
        return refuse_duplicates(filled, self._known_ids(first_row))

    def _known_ids(self, num_rows: int) -> dict[str, str]:
        """Id → source of the clips before a row."""
        finished = [self._out / shard_name(i) for i in range(num_rows // self._size)]
        columns = read_columns(finished, ["id", "source"]) if finished else None
        begun = self._begun(num_rows // self._size).clips
        known = {clip.id: clip.source for clip in begun}
        if columns is not None:
            pairs = (columns[name].to_pylist() for name in ("id", "source"))
            known |= dict(zip(*pairs, strict=True))
        return known

    def _fingerprint(self, index: int) -> str:
        settings = asdict(self._options)
        for name in ("workers", "device", "format", "codec", "engine"):  # change nothing in a clip
            del settings[name]
        parts = [self._stream.identity, settings, self._size * index]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()

    def _save_state(self, index: int) -> None:
        """At the end of the stream there is none to save."""
        states = self._stream.states
        for row in [row for row in states if row < index * self._size]:
            del states[row]
        state = states.get(index * self._size)
        if state is not None:
            with atomic_path(self._out / STATE_FILE) as temporary:
                text = json.dumps([self._stream.identity, state.to_json()])
                temporary.write_text(text, encoding="utf-8")

    def _read_state(self) -> StreamState | None:
        """None where there is none of this dataset: the stream is then read from its start."""
        with suppress(OSError, ValueError, TypeError):
            identity, state = json.loads((self._out / STATE_FILE).read_text(encoding="utf-8"))
            if identity == self._stream.identity:
                return StreamState.from_json(state)
        return None


def _identity(source: str, subset: str | None) -> str:
    place = Path(source)
    if place.exists():
        return preparation.identity_of(place)
    return source if subset is None else f"{source}:{subset}"
