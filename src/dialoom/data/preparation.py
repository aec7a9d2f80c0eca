"""Source → corpus: read, resample, encode, write. What cannot be used is listed, the rest is kept.

The entries of the source are divided into shards by their position. A shard is written whole, with
the fingerprint of its entries; running the same command again skips every shard whose fingerprint
still holds. So a run that was killed goes on where it stopped, a mended clip redoes its shard only,
and either way the corpus is the one that a single run would have made.
"""

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from dialoom.audio import RESAMPLER, AudioFileError, Waveform, read_audio, resample
from dialoom.codec.base import Codec, CodecSpec
from dialoom.codec.load import load_codec
from dialoom.data.clip import Clip, Rejection, SourceClip
from dialoom.data.corpus import DEFAULT_VALID_FRACTION, CorpusInfo, CorpusWriter
from dialoom.data.script import text_ids
from dialoom.data.sources import Entry, open_source
from dialoom.errors import DataError, TextError
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable

MAX_TEXT_BYTES = 1024
MAX_DECODER_STEPS = 3072

CLIPS_PER_SHARD = 256
"""What a killed run loses at most; half an hour of speech, 2 MB."""

AHEAD_PER_WORKER = 4
"""Recordings that each worker may have decoded before the codec asks for them."""


@dataclass(frozen=True)
class PrepareOptions:
    """How a source becomes a corpus.

    Attributes:
        format: of the source: "auto", "ljspeech", "csv", "folder".
        codec: what `load_codec` takes.
        device: where the codec runs.
        language: of clips whose source names none.
        speaker: of clips whose source names none.
        workers: threads that decode and resample ahead of the codec.
        valid_fraction: share of the clips that becomes the split `valid`.
        max_text_bytes: bytes that the model reads at most.
        max_steps: decoder steps that the model has at most.
        layout: ids and delays of the model; its delay takes some of the steps.
    """

    format: str = "auto"
    codec: str = "mini"
    device: str = "cpu"
    language: str | None = None
    speaker: str | None = None
    workers: int = 2
    valid_fraction: float = DEFAULT_VALID_FRACTION
    max_text_bytes: int = MAX_TEXT_BYTES
    max_steps: int = MAX_DECODER_STEPS
    layout: TokenLayout = field(default_factory=TokenLayout)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise DataError(f"workers {self.workers}: must be at least 1")

    @property
    def max_frames(self) -> int:
        """Frames that fit into `max_steps` with BOS, delay and EOS."""
        return self.max_steps - self.layout.num_steps(0)


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` made.

    Attributes:
        info: counts, hours, codec.
        rejections: every entry that did not become a clip.
        num_reused: clips and rejections taken over from an earlier run.
    """

    info: CorpusInfo
    rejections: tuple[Rejection, ...]
    num_reused: int


ProgressCallback = Callable[[int, int, int], None]
"""Told, after every entry that is worked on: entries done, entries in all, rejected in this run."""


def prepare(
    source: str | Path,
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    codec: Codec | None = None,
    progress: ProgressCallback | None = None,
) -> PrepareSummary:
    """Prepares a source; run again, it finishes or updates what is there.

    Args:
        source: anything `open_source` reads.
        out: the corpus directory.
        options: how.
        codec: takes the place of `options.codec`, already loaded.
        progress: hears how far it is.

    Raises:
        DataError: the source cannot be read, `out` holds codes of another codec, or no entry of
            the source can be used.
        CodecError: the codec cannot be loaded.
    """
    options = options or PrepareOptions()
    entries = [_fill_in(entry, options) for entry in open_source(source, format=options.format)]
    codec = codec or load_codec(options.codec, device=options.device)
    writer = CorpusWriter(Path(out), codec.spec, valid_fraction=options.valid_fraction)
    shards = [entries[i : i + CLIPS_PER_SHARD] for i in range(0, len(entries), CLIPS_PER_SHARD)]
    fingerprints = [_fingerprint(shard, options) for shard in shards]
    pending = [i for i in range(len(shards)) if not writer.has(i, fingerprints[i])]
    num_pending = sum(len(shards[i]) for i in pending)
    outcomes = _encode((entry for i in pending for entry in shards[i]), codec, options)
    told = _tell(outcomes, progress, already=len(entries) - num_pending, total=len(entries))
    for i in pending:
        results = list(islice(told, len(shards[i])))
        clips = [result for result in results if isinstance(result, Clip)]
        rejections = [result for result in results if isinstance(result, Rejection)]
        writer.write(i, clips, fingerprint=fingerprints[i], rejections=rejections)
    info = writer.finish(len(shards))
    return PrepareSummary(info, tuple(writer.rejections()), len(entries) - num_pending)


def _fill_in(entry: Entry, options: PrepareOptions) -> Entry:
    if isinstance(entry, Rejection):
        return entry
    return replace(
        entry,
        language=entry.language or options.language,
        speaker=entry.speaker or options.speaker,
    )


def _fingerprint(shard: list[Entry], options: PrepareOptions) -> str:
    """Changes with the entries, their files and every setting that decides what becomes of them."""
    parts: list[object] = [
        [options.valid_fraction, options.max_text_bytes, options.max_frames, RESAMPLER]
    ]
    for entry in shard:
        if isinstance(entry, SourceClip):
            status = entry.audio.stat()
            clip = [entry.id, entry.text, entry.language, entry.speaker, entry.source]
            parts.append([*clip, status.st_size, status.st_mtime_ns])
        else:
            parts.append(asdict(entry))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _encode(
    entries: Iterator[Entry], codec: Codec, options: PrepareOptions
) -> Iterator[Clip | Rejection]:
    """In the order of the entries; threads decode ahead while the codec encodes."""
    with ThreadPoolExecutor(options.workers) as pool:
        ahead: deque[tuple[Entry, Future[Waveform | Rejection]]] = deque()
        while True:
            for entry in islice(entries, options.workers * AHEAD_PER_WORKER - len(ahead)):
                ahead.append((entry, pool.submit(_load, entry, codec.spec, options)))
            if not ahead:
                return
            entry, future = ahead.popleft()
            loaded = future.result()
            if isinstance(loaded, Rejection):
                yield loaded
                continue
            assert isinstance(entry, SourceClip)
            yield Clip(
                id=entry.id,
                text=entry.text,
                language=entry.language,
                speaker=entry.speaker,
                codes=codec.encode(loaded),
                source=entry.source,
            )


def _load(entry: Entry, codec: CodecSpec, options: PrepareOptions) -> Waveform | Rejection:
    """The recording at the codec's rate, or why the clip cannot be used."""
    if isinstance(entry, Rejection):
        return entry
    try:
        num_bytes = len(text_ids(entry.text, entry.language, TagTable.default()))
    except TextError as error:
        return Rejection(entry.source, reason=str(error), remedy="mend the transcript")
    if num_bytes > options.max_text_bytes:
        return Rejection(
            entry.source,
            reason=f"transcript has {num_bytes} bytes, the model reads {options.max_text_bytes}",
            remedy="split the clip and its transcript",
        )
    try:
        waveform = resample(read_audio(entry.audio), codec.sample_rate_hz)
    except AudioFileError as error:
        return Rejection(entry.source, reason=error.reason, remedy=error.remedy)
    num_frames = math.ceil(waveform.num_samples / codec.hop_length)
    if not 1 <= num_frames <= options.max_frames:
        return Rejection(
            entry.source,
            reason=f"lasts {waveform.duration_s:.1f} s, the model holds up to "
            f"{options.max_frames / codec.frames_per_second:.1f} s",
            remedy="split the clip and its transcript" if num_frames else "remove it",
        )
    return waveform


def _tell(
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
