"""Entries of a source → clips: threads read, process and, without a GPU, encode them.

On a CPU each thread encodes what it has processed, which takes half the time of a codec with all
cores (`codec/parallel.py`); a GPU has one clip at a time, and the threads process ahead of it.

Clips are encoded one by one, of equal length too. A batch would only be allowed if its codes were
those of its clips alone, to the bit: a run that was stopped resumes with other clips at hand, and
its corpus must not differ. No codec here promises that: the matrix products of another batch size
may add in another order, and that may change an id.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, runtime_checkable

from dialoom.codec.base import Codec, CodecSpec
from dialoom.codec.parallel import core_pool
from dialoom.data.clip import Clip, Rejection
from dialoom.data.columns import Columns
from dialoom.data.corpus import DEFAULT_VALID_FRACTION
from dialoom.data.cutting import PieceLimits
from dialoom.data.entries import Entry
from dialoom.data.processing import (
    MAX_DECODER_STEPS,
    MAX_TEXT_BYTES,
    ProcessedClip,
    Processing,
    max_frames_of,
    process_clip,
)
from dialoom.errors import DataError
from dialoom.sequence import TokenLayout

ENGINES = ("local", "ray")

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
        workers: clips in work at a time: threads that process and, without a GPU, encode.
        valid_fraction: share of the clips that becomes the split `valid`.
        max_text_bytes: bytes that the model reads at most.
        max_steps: decoder steps that the model has at most.
        layout: ids and delays of the model; its delay takes some of the steps.
        loudness_lufs: as of `Processing`.
        edge_silence_s: as of `Processing`.
        engine: of `ENGINES`: threads of this process, or the actors of a Ray cluster.
        dialogue: how long clips of dialogue are; None: every entry is a clip of its own.
        split_long: how long the pieces of recordings without transcripts are; None: not cut.
        asr_model: Hub id or directory of the Whisper that transcribes these; None: nobody does.
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
    loudness_lufs: float | None = Processing.loudness_lufs
    edge_silence_s: float | None = Processing.edge_silence_s
    engine: str = "local"
    dialogue: PieceLimits | None = None
    split_long: PieceLimits | None = None
    asr_model: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise DataError(f"engine {self.engine!r}: choose {' or '.join(ENGINES)}")
        if self.workers < 1:
            raise DataError(f"workers {self.workers}: must be at least 1")
        _ = self.processing  # refuses what it refuses now, not after the source is listed
        if self.dialogue and (self.split_long or self.asr_model):
            raise DataError(
                "--dialogue joins turns that have transcripts, --split-long and --asr-model make "
                "those of recordings without: who speaks is not heard; prepare them one by one"
            )

    @property
    def max_frames(self) -> int:
        """Frames that fit into `max_steps` with BOS, delay and EOS."""
        return max_frames_of(self.max_steps, self.layout)

    @property
    def processing(self) -> Processing:
        """What is done to each clip.

        Raises:
            DataError: loudness or silence is out of range.
        """
        return Processing(
            loudness_lufs=self.loudness_lufs,
            edge_silence_s=self.edge_silence_s,
            max_text_bytes=self.max_text_bytes,
            max_frames=self.max_frames,
        )


@runtime_checkable
class Engine(Protocol):
    """Whoever makes clips of entries.

    Attributes:
        spec: of the codec.
    """

    spec: CodecSpec

    def encode(self, entries: Iterator[Entry]) -> Iterator[Clip | Rejection]:
        """In the order of the entries."""
        ...


class LocalEngine:
    """This process."""

    def __init__(self, codec: Codec, options: PrepareOptions) -> None:
        self.spec = codec.spec
        self._codec = codec
        self._options = options

    def encode(self, entries: Iterator[Entry]) -> Iterator[Clip | Rejection]:
        return encode_entries(entries, self._codec, self._options)


def encode_entries(
    entries: Iterator[Entry], codec: Codec, options: PrepareOptions
) -> Iterator[Clip | Rejection]:
    """In the order of the entries.

    At most `workers` × AHEAD_PER_WORKER recordings are in memory, however many entries there are.
    """

    def process(entry: Entry) -> ProcessedClip | Rejection:
        if isinstance(entry, Rejection):
            return entry
        return process_clip(entry, codec.spec, processing)

    def encode(processed: Clip | ProcessedClip | Rejection) -> Clip | Rejection:
        return encode_clip(processed, codec) if isinstance(processed, ProcessedClip) else processed

    def process_and_encode(entry: Entry) -> Clip | Rejection:
        return encode(process(entry))

    processing = options.processing
    work = process_and_encode if options.device == "cpu" else process
    with core_pool(options.workers) as pool:
        ahead: deque[Future[Clip | ProcessedClip | Rejection]] = deque()
        while True:
            for entry in islice(entries, options.workers * AHEAD_PER_WORKER - len(ahead)):
                ahead.append(pool.submit(work, entry))
            if not ahead:
                return
            yield encode(ahead.popleft().result())


def encode_clip(processed: ProcessedClip, codec: Codec) -> Clip:
    """The row of the corpus that a processed clip makes."""
    clip = processed.clip
    return Clip(
        id=clip.id,
        text=clip.text,
        language=clip.language,
        speaker=clip.speaker,
        codes=codec.encode(processed.waveform),
        source=clip.source,
        confidence=clip.confidence,
    )
