"""What the doctor looks at: a corpus or a source, seen as the same rows of clips."""

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import soundfile

from dialoom.audio import AudioFileError, Waveform
from dialoom.audio.read import open_sound
from dialoom.codec import Codec, CodecSpec, load_codec
from dialoom.data import Clip, Columns, Corpus, Rejection, SourceClip, open_source
from dialoom.data.audio_ref import AudioRef
from dialoom.data.corpus import INFO_FILE, read_columns, refuse_other_codec
from dialoom.data.encoding import encode_clip
from dialoom.data.processing import (
    MAX_DECODER_STEPS,
    MAX_TEXT_BYTES,
    Processing,
    max_frames_of,
    process_clip,
)
from dialoom.data.shard import shard_paths
from dialoom.data.writer import REJECTED_FILE
from dialoom.errors import CodecError, DataError
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable

DIA_CODEC = CodecSpec("descript/dac_44khz", "", 44_100, 512, 9, 1024)
"""By which a source is measured where no codec is at hand: only rates and sizes are used."""


@dataclass(frozen=True)
class Limits:
    """What a model holds, and what a recipe takes of that.

    Attributes:
        tags: which tags are bytes.
        max_text_bytes: that the model reads.
        max_steps: that the model speaks.
        recipe_text_bytes: clips with a longer text are left out by the recipe; None: none are.
        recipe_seconds: longer clips are left out by the recipe; None: none are.
    """

    tags: TagTable = field(default_factory=TagTable.default)
    max_text_bytes: int = MAX_TEXT_BYTES
    max_steps: int = MAX_DECODER_STEPS
    recipe_text_bytes: int | None = None
    recipe_seconds: float | None = None


@dataclass(frozen=True)
class Utterance:
    """One clip as far as it is known without its sound.

    Attributes:
        id: of the clip.
        text: the transcript.
        language: if known.
        speaker: if known.
        duration_s: None where the recording's header cannot be read.
        split: of a corpus; None in a source.
        problem: why the header cannot be read.
    """

    id: str
    text: str
    language: str | None
    speaker: str | None
    duration_s: float | None
    split: str | None = None
    problem: str = ""


@runtime_checkable
class Subject(Protocol):
    """A corpus or a source."""

    @property
    def kind(self) -> Literal["corpus", "source"]: ...
    @property
    def name(self) -> str: ...
    @property
    def utterances(self) -> list[Utterance]: ...
    @property
    def refused(self) -> list[Rejection]: ...
    @property
    def codec_spec(self) -> CodecSpec: ...
    @property
    def limits(self) -> Limits: ...

    def codec(self) -> Codec:
        """The codec of the codes.

        Raises:
            CodecError: it cannot be loaded, or is not the one that made them.
        """
        ...

    def sound(self, index: int) -> Waveform:
        """How a clip sounds.

        Raises:
            AudioError: it cannot be read or is silent.
            CodecError: it cannot be decoded.
        """
        ...

    def clip(self, index: int) -> Clip:
        """A clip with its codes.

        Raises:
            AudioError: its recording cannot be read.
            DataError: `prepare` would refuse it.
            CodecError: the codec cannot be loaded.
        """
        ...

    def content_hash(self, index: int) -> str:
        """Equal for clips of equal sound."""
        ...


@dataclass(frozen=True)
class SubjectOptions:
    """How a corpus or a source is looked at.

    Attributes:
        codec: what `load_codec` takes; None for a corpus's own, for mini with a source.
        device: where it runs.
        format: of a source, as for `open_source`.
        columns: what the source calls its columns, where that is not guessed.
        limits: what clips are held against.
    """

    codec: str | None = None
    device: str = "cpu"
    format: str = "auto"
    columns: Columns = field(default_factory=Columns)
    limits: Limits = field(default_factory=Limits)


def open_subject(path: Path, options: SubjectOptions | None = None) -> Subject:
    """A corpus if there is a corpus.json and no format of a source is asked for, else a source.

    Raises:
        DataError: neither can be opened.
    """
    options = options or SubjectOptions()
    if (path / INFO_FILE).is_file() and options.format == "auto":
        return CorpusSubject(Corpus.open(path), options)
    return SourceSubject(path, options)


def layout_of(spec: CodecSpec) -> TokenLayout:
    """Dia's layout, stretched or cut to a codec of another geometry."""
    size = spec.codebook_size
    delays = tuple(0 if c == 0 else 7 + c for c in range(spec.num_codebooks))
    return TokenLayout(delays, size, size, size + 1, size + 2, size + 4)


class CorpusSubject:
    """A prepared corpus; its sound is decoded from the codes."""

    kind: Literal["corpus", "source"] = "corpus"

    def __init__(self, corpus: Corpus, options: SubjectOptions) -> None:
        self._corpus = corpus
        self._codec_name = options.codec or corpus.info.codec.name
        self._device = options.device
        self.limits = options.limits
        self._codec: Codec | None = None
        self.name = corpus.path.resolve().name
        self.codec_spec = corpus.info.codec
        self.refused = _read_rejected(corpus.path / REJECTED_FILE)
        self.utterances = self._list()

    def codec(self) -> Codec:
        if self._codec is None:
            codec = load_codec(self._codec_name, device=self._device)
            try:
                refuse_other_codec(self._corpus.path, found=self.codec_spec, expected=codec.spec)
            except DataError as error:
                raise CodecError(str(error)) from error
            self._codec = codec
        return self._codec

    def sound(self, index: int) -> Waveform:
        return self.codec().decode(self._corpus[index].codes)

    def clip(self, index: int) -> Clip:
        return self._corpus[index]

    def content_hash(self, index: int) -> str:
        return hashlib.sha256(self._corpus[index].codes.frames.tobytes()).hexdigest()

    def _list(self) -> list[Utterance]:
        """From the columns; no codes are read."""
        columns = ["id", "text", "language", "speaker", "split", "num_frames"]
        table = read_columns(shard_paths(self._corpus.path), columns)
        rate = self.codec_spec.frames_per_second
        return [
            Utterance(
                row["id"],
                row["text"],
                row["language"],
                row["speaker"],
                row["num_frames"] / rate,
                row["split"],
            )
            for row in table.to_pylist()
        ]


class SourceSubject:
    """Recordings with transcripts, as they are listed before anything is encoded."""

    kind: Literal["corpus", "source"] = "source"

    def __init__(self, path: Path, options: SubjectOptions) -> None:
        entries = open_source(path, format=options.format, columns=options.columns)
        self.name = path.resolve().name
        self.refused = [entry for entry in entries if isinstance(entry, Rejection)]
        self._clips = [entry for entry in entries if isinstance(entry, SourceClip)]
        self.utterances = [_utterance(clip) for clip in self._clips]
        self._codec_name = options.codec or "mini"
        self._device = options.device
        self.limits = options.limits
        self._codec: Codec | None = None

    @property
    def codec_spec(self) -> CodecSpec:
        return DIA_CODEC if self._codec is None else self._codec.spec

    def codec(self) -> Codec:
        if self._codec is None:
            self._codec = load_codec(self._codec_name, device=self._device)
        return self._codec

    def sound(self, index: int) -> Waveform:
        return self._clips[index].audio.load()

    def clip(self, index: int) -> Clip:
        """As `prepare` would make it."""
        codec = self.codec()
        processing = Processing(
            max_text_bytes=self.limits.max_text_bytes,
            max_frames=max_frames_of(self.limits.max_steps, layout_of(codec.spec)),
        )
        processed = process_clip(self._clips[index], codec.spec, processing)
        if isinstance(processed, Rejection):
            raise DataError(str(processed))
        return encode_clip(processed, codec)

    def content_hash(self, index: int) -> str:
        return hashlib.sha256(self.sound(index).samples.tobytes()).hexdigest()


def _utterance(clip: SourceClip) -> Utterance:
    """From the file's header, of an MP3 without from its frames: nothing is decoded."""
    length_s: float | None = None
    problem = ""
    try:
        length_s = _header_length_s(clip.audio)
    except soundfile.LibsndfileError as error:
        problem = f"not readable as audio ({error.error_string.rstrip('.')})"
    except AudioFileError as error:
        problem = error.reason
    return Utterance(clip.id, clip.text, clip.language, clip.speaker, length_s, problem=problem)


def _header_length_s(audio: AudioRef) -> float:
    segment = audio.segment
    if segment is not None and segment.end_s is not None:
        return segment.end_s - segment.start_s
    file = audio.path if audio.member is None else io.BytesIO(audio.member.read(audio.path))
    with open_sound(file) as opened:
        length_s = opened.frames / opened.samplerate
    return float(length_s - (segment.start_s if segment else 0.0))


def _read_rejected(path: Path) -> list[Rejection]:
    """What `prepare` left out; none where the list is not there or not readable."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
        return [Rejection(str(r["source"]), str(r["reason"]), str(r["remedy"])) for r in records]
    except (OSError, ValueError, KeyError, TypeError):
        return []
