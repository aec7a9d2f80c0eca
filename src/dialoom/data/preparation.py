"""Source → corpus: read, resample, encode, write. What cannot be used is listed, the rest is kept.

The entries of the source are divided into shards by their position. A shard is written whole, with
the fingerprint of its entries; running the same command again skips every shard whose fingerprint
still holds. The clips of a shard that is not full are saved every few seconds, and at once where
the run is stopped. So a run that was stopped goes on where it was, a mended clip redoes its shard
only, and either way the corpus is the one that a single run would have made.

Refused: a directory with a corpus of another source, and to lose clips whose files the source names
but does not have. (Clips that it no longer names are taken to be removed on purpose.)
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from dialoom.codec.base import Codec
from dialoom.codec.load import load_codec
from dialoom.data.clip import Clip, Rejection, SourceClip
from dialoom.data.corpus import Corpus, CorpusInfo
from dialoom.data.encoding import Engine, LocalEngine, PrepareOptions
from dialoom.data.entries import NO_SUCH_FILE, Entry, path_name
from dialoom.data.listening import Listener, ProgressCallback
from dialoom.data.listing import list_clips
from dialoom.data.lock import sole_writer
from dialoom.data.processing import vanished
from dialoom.data.writer import CorpusWriter
from dialoom.errors import DataError
from dialoom.text import Nonverbals, TagTable, count_nonverbals

CLIPS_PER_SHARD = 256
"""Half an hour of speech, 2 MB; what one mended clip makes `prepare` encode again."""

SAVE_EVERY_S = 20.0
"""Seconds of encoding that a killed run loses at most; a save takes some hundredths of one."""


@dataclass(frozen=True)
class UnknownTags:
    """Tags such as "[S3]" that no byte stands for unless `model.tags` of a recipe gives them one.

    Attributes:
        num_clips: clips of the corpus with such a tag.
        tags: which ones, sorted.
    """

    num_clips: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` made.

    Attributes:
        info: counts, hours, codec.
        rejections: every entry that did not become a clip.
        num_reused: clips and rejections taken over from an earlier run.
        unknown_tags: what the model would read letter by letter.
        nonverbals: sounds such as "(laughs)" in the transcripts.
    """

    info: CorpusInfo
    rejections: tuple[Rejection, ...]
    num_reused: int
    unknown_tags: UnknownTags
    nonverbals: Nonverbals


@dataclass
class Part:
    """The entries of one shard, and what has become of the first of them."""

    index: int
    entries: list[Entry]
    fingerprint: str
    clips: list[Clip] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def left(self) -> list[Entry]:
        """Outcomes come in the order of the entries, so those without one are the last."""
        return self.entries[self.num_done :]

    @property
    def num_done(self) -> int:
        """Entries with an outcome."""
        return len(self.clips) + len(self.rejections)

    def add(self, outcome: Clip | Rejection) -> None:
        if isinstance(outcome, Clip):
            self.clips.append(outcome)
        else:
            self.rejections.append(outcome)

    def forget(self) -> None:
        """Frees the clips once they are on disk, so that memory does not grow with the source."""
        self.clips.clear()
        self.rejections.clear()
        self.entries.clear()

    def pass_to(self, write: Callable[..., None]) -> None:
        """To `save` or `write` of a CorpusWriter."""
        write(self.index, self.clips, fingerprint=self.fingerprint, rejections=self.rejections)


def prepare(
    source: str | Path,
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    codec: Codec | None = None,
    listener: Listener | None = None,
    progress: ProgressCallback | None = None,
    listening: ProgressCallback | None = None,
) -> PrepareSummary:
    """Prepares a source; run again, it finishes or updates what is there.

    Args:
        source: anything `open_source` reads.
        out: the corpus directory.
        options: how.
        codec: takes the place of `options.codec`, already loaded.
        listener: takes the place of `options.asr_model` and of silero-vad, already loaded.
        progress: hears how far it is.
        listening: hears before that how many recordings are cut and transcribed.

    Raises:
        DataError: the source cannot be read, `out` holds codes of another codec, clips that were
            processed otherwise or clips of another source, or another process writes to it; clips
            would be lost because files are missing, no entry of the source can be used, or the
            disk is full.
        CodecError: the codec cannot be loaded.
    """
    options = options or PrepareOptions()
    if Path(out).resolve() == Path(source).resolve():
        raise DataError(f"corpus {out}: is the source itself; name another directory")
    with sole_writer(Path(out)):
        entries = list_clips(source, out, options, listener=listener, progress=listening)
        return _prepare(entries, source, Path(out), options, codec, progress)


def _prepare(
    entries: list[Entry],
    source: str | Path,
    out: Path,
    options: PrepareOptions,
    codec: Codec | None,
    progress: ProgressCallback | None,
) -> PrepareSummary:
    with open_engine(codec, options) as engine:
        writer = CorpusWriter(
            out,
            engine.spec,
            valid_fraction=options.valid_fraction,
            source=identity_of(Path(source)),
            processing=options.processing,
        )
        parts = _divide(entries, options)
        pending = _find_pending(parts, writer, Path(source))
        num_reused = len(entries) - sum(len(part.left) for part in pending)
        outcomes = engine.encode(entry for part in pending for entry in part.left)
        told = tell(outcomes, progress, already=num_reused, total=len(entries))
        for part in pending:
            finish_part(part, islice(told, len(part.left)), writer)
    info = writer.finish(len(parts))
    return summarise(out, writer, info, num_reused)


def open_engine(codec: Codec | None, options: PrepareOptions) -> AbstractContextManager[Engine]:
    """Whoever encodes, ready while the block lasts; `codec` takes the place of `options.codec`."""
    if options.engine == "ray":
        from dialoom.data.ray_engine import RayEngine

        return RayEngine(codec or options.codec, options)
    codec = codec or load_codec(options.codec, device=options.device)
    return nullcontext(LocalEngine(codec, options))


def identity_of(source: Path) -> str:
    """The source's name and a hash of its place: tells sources apart and publishes no path."""
    place = source.resolve()
    return f"{path_name(Path(place.name))} ({hashlib.sha256(os.fsencode(place)).hexdigest()[:12]})"


def _divide(entries: list[Entry], options: PrepareOptions) -> list[Part]:
    starts = range(0, len(entries), CLIPS_PER_SHARD)
    groups = [entries[start : start + CLIPS_PER_SHARD] for start in starts]
    return [Part(i, group, _fingerprint(group, options)) for i, group in enumerate(groups)]


def _find_pending(parts: list[Part], writer: CorpusWriter, source: Path) -> list[Part]:
    """The parts to work on, with what an earlier run began of them; nothing is written yet.

    Raises:
        DataError: the work would replace what must not be lost.
    """
    writer.refuse_other_source([part.fingerprint for part in parts])
    pending = [part for part in parts if not writer.has(part.index, part.fingerprint)]
    _refuse_loss(pending, writer, source)
    for part in pending:
        part.clips, part.rejections = writer.begun(part.index, part.fingerprint)
    return pending


def _refuse_loss(pending: Sequence[Part], writer: CorpusWriter, source: Path) -> None:
    """Refuses to replace a shard by one with fewer clips because their files are not there."""
    for part in pending:
        usable = sum(isinstance(entry, SourceClip) for entry in part.entries)
        refused = [entry for entry in part.entries if isinstance(entry, Rejection)]
        missing = [entry for entry in refused if entry.reason.startswith(NO_SUCH_FILE)]
        if missing and writer.num_clips(part.index) > usable:
            raise DataError(
                f"source {source}: {len(missing)} files are gone of which the corpus holds clips, "
                f"the first: {missing[0].source}: {missing[0].reason}; bring them back (is the "
                "disk mounted?), or name another directory for a corpus without them"
            )


def finish_part(part: Part, outcomes: Iterator[Clip | Rejection], writer: CorpusWriter) -> int:
    """Writes the shard of a part, whose last outcomes these are; says how many there are.

    Whatever stops it, what is ready is saved first.
    """
    saved_at_s = time.monotonic()
    try:
        for outcome in outcomes:
            part.add(outcome)
            if time.monotonic() - saved_at_s >= SAVE_EVERY_S:
                part.pass_to(writer.save)
                saved_at_s = time.monotonic()
        part.pass_to(writer.write)
        num_entries = part.num_done
        part.forget()
    except BaseException:
        if part.clips or part.rejections:
            part.pass_to(writer.save)
        raise
    return num_entries


def summarise(out: Path, writer: CorpusWriter, info: CorpusInfo, num_reused: int) -> PrepareSummary:
    """What a finished corpus holds and what was left out."""
    texts = [text for text, _ in Corpus.open(out).texts]
    return PrepareSummary(
        info,
        tuple(writer.rejections()),
        num_reused,
        _find_unknown_tags(texts),
        count_nonverbals(texts),
    )


def _find_unknown_tags(texts: Sequence[str]) -> UnknownTags:
    table = TagTable.default()
    found = [tags for text in texts if (tags := table.unknown(text))]
    return UnknownTags(len(found), tuple(sorted({tag for tags in found for tag in tags})))


def _fingerprint(shard: list[Entry], options: PrepareOptions) -> str:
    """Changes with the entries, their files and every setting that decides what becomes of them."""
    parts: list[object] = [options.valid_fraction, asdict(options.processing)]
    for entry in shard:
        if isinstance(entry, SourceClip):
            status = _stat(entry.audio.path)
            clip = [entry.id, entry.text, entry.language, entry.speaker, entry.source]
            clip += [] if entry.confidence is None else [str(entry.confidence)]
            parts.append([*clip, status.st_size, status.st_mtime_ns, *entry.audio.identity])
        else:
            parts.append(asdict(entry))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stat(audio: Path) -> os.stat_result:
    try:
        return audio.stat()
    except OSError as error:
        raise vanished(audio) from error


def tell(
    outcomes: Iterator[Clip | Rejection],
    progress: ProgressCallback | None,
    *,
    already: int,
    total: int,
) -> Iterator[Clip | Rejection]:
    """Passes the outcomes on and reports each."""
    rejected = 0
    for done, outcome in enumerate(outcomes, start=already + 1):
        rejected += isinstance(outcome, Rejection)
        if progress is not None:
            progress(done, total, rejected)
        yield outcome
