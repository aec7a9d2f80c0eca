"""Entries of a source → clips: decode, resample, encode, or say why not.

Refused are transcripts and recordings that do not fit the model; nothing is ever cut.
"""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dialoom.audio import AudioFileError, Waveform, resample
from dialoom.codec.base import Codec, CodecSpec
from dialoom.data.clip import Clip, Rejection, SourceClip
from dialoom.data.columns import Columns
from dialoom.data.corpus import DEFAULT_VALID_FRACTION
from dialoom.data.entries import Entry
from dialoom.data.script import text_ids
from dialoom.data.tables import is_file
from dialoom.errors import DataError, TextError
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable

MAX_TEXT_BYTES = 1024
MAX_DECODER_STEPS = 3072

AHEAD_PER_WORKER = 4
"""Recordings that each worker may have decoded before the codec asks for them."""


@dataclass(frozen=True)
class PrepareOptions:
    """How a source becomes a corpus.

    Attributes:
        format: of the source: "auto", or a name of `READERS`.
        columns: what the source calls its columns, where that is not guessed.
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
    columns: Columns = field(default_factory=Columns)
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


def encode_entries(
    entries: Iterator[Entry], codec: Codec, options: PrepareOptions
) -> Iterator[Clip | Rejection]:
    """In the order of the entries; threads decode ahead while the codec encodes."""
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(options.workers)
        stack.callback(pool.shutdown, cancel_futures=True)
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
    _refuse_unreadable(entry.audio.path)
    try:
        waveform = resample(entry.audio.load(), codec.sample_rate_hz)
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


def _refuse_unreadable(audio: Path) -> None:
    """Raises DataError where disk or rights are at fault, which a later run may find mended.

    What is wrong inside a file is no such case: that is a rejection.
    """
    if not is_file(audio):
        raise vanished(audio)
    try:
        with audio.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise DataError(
            f"{audio}: cannot be read ({error.strerror}); mend that and run the same command "
            "again: it goes on"
        ) from error


def vanished(audio: Path) -> DataError:
    """Not a rejection: written into a finished shard, it would outlast the file's return."""
    return DataError(
        f"{audio}: was listed by the source and is gone; bring it back (is the disk mounted?) and "
        "run the same command again: it goes on"
    )
