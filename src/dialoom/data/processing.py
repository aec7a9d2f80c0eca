"""What happens to one clip before the codec hears it, whoever runs it: threads here, Ray elsewhere.

`process_clip` is a pure function of the clip, its recording and the settings: it opens no pool,
keeps nothing, and says of a clip that cannot be used why. Nothing but silence is ever cut.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dialoom.audio import (
    RESAMPLER,
    AudioFileError,
    Waveform,
    normalize_loudness,
    resample,
    trim_edges,
)
from dialoom.codec.base import CodecSpec
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.script import text_ids
from dialoom.data.tables import is_file
from dialoom.errors import DataError, TextError
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable, prepare_text

MAX_TEXT_BYTES = 1024
MAX_DECODER_STEPS = 3072

MIN_DURATION_S = 0.1
"""No word is shorter, once the silence around it is gone."""

MAX_READ = 4.0
"""Recordings up to so many times the model's limit are read: the rest may be silence."""


def max_frames_of(max_steps: int, layout: TokenLayout) -> int:
    """Frames that fit into so many decoder steps with BOS, delay and EOS."""
    return max_steps - layout.num_steps(0)


@dataclass(frozen=True)
class Processing:
    """What is done to every clip of a corpus, as corpus.json and every shard record it.

    Attributes:
        loudness_lufs: of each clip, by ITU-R BS.1770; None leaves it as it is.
        edge_silence_s: left of the silence before and after; None leaves all of it.
        max_text_bytes: a clip with more is refused.
        max_frames: a clip with more codec frames is refused.
        resampler: what converts rates.
        text: the form that transcripts are brought into.
    """

    loudness_lufs: float | None = -20.0
    edge_silence_s: float | None = 0.2
    max_text_bytes: int = MAX_TEXT_BYTES
    max_frames: int = max_frames_of(MAX_DECODER_STEPS, TokenLayout())
    resampler: str = RESAMPLER
    text: str = "Unicode NFC, white space collapsed"

    def __post_init__(self) -> None:
        if self.loudness_lufs is not None and not -60 <= self.loudness_lufs <= -5:
            raise DataError(
                f"loudness {self.loudness_lufs:g} LUFS: must be -60 to -5 (speech: about -20), "
                "or off"
            )
        if self.edge_silence_s is not None and not 0 <= self.edge_silence_s <= 10:
            raise DataError(
                f"edge silence {self.edge_silence_s:g} s: must be 0 to 10 seconds, or off"
            )

    def record(self) -> dict[str, Any]:
        """The fields of corpus.json."""
        fields = asdict(self)
        lufs = fields.pop("loudness_lufs")
        return fields | {"loudness": None if lufs is None else f"{lufs:g} LUFS (ITU-R BS.1770)"}

    def differences(self, other: "Processing") -> str:
        """What `other` does differently, for people: "loudness_lufs -20, not off"; else empty."""
        pairs = [(f.name, getattr(other, f.name), getattr(self, f.name)) for f in fields(self)]
        return ", ".join(f"{n} {_spell(a)}, not {_spell(b)}" for n, a, b in pairs if a != b)


UNPROCESSED = Processing(loudness_lufs=None, edge_silence_s=None)
"""Of shards that record nothing: they are older than loudness and trimming."""


def _spell(value: object) -> str:
    return "off" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class ProcessedClip:
    """A clip that is ready for the codec.

    Attributes:
        clip: its text is in Unicode NFC, white space collapsed.
        waveform: at the codec's rate, no longer than the model holds.
    """

    clip: SourceClip
    waveform: Waveform


def process_clip(
    clip: SourceClip, codec: CodecSpec, processing: Processing
) -> ProcessedClip | Rejection:
    """Reads a recording and makes it ready for the codec, or says why the clip cannot be used.

    In this order: down-mix, silence at the edges, resampling, loudness with a guard of the peak.

    Raises:
        DataError: disk or rights are at fault, which a later run may find mended.
    """
    clip = replace(clip, text=prepare_text(clip.text))
    refused = _refuse_names(clip) or _refuse_text(clip, processing.max_text_bytes)
    if refused is not None:
        return refused
    if clip.audio.is_on_disk:
        refuse_unreadable(clip.audio.path)
    limit_s = processing.max_frames / codec.frames_per_second
    try:
        waveform = clip.audio.load(max_seconds=MAX_READ * limit_s)
    except AudioFileError as error:
        return Rejection(clip.source, reason=error.reason, remedy=error.remedy)
    if processing.edge_silence_s is not None:
        waveform = trim_edges(waveform, processing.edge_silence_s)
    refused = _refuse_length(clip, waveform.duration_s, limit_s)
    if refused is not None:
        return refused
    waveform = resample(waveform, codec.sample_rate_hz)
    if math.ceil(waveform.num_samples / codec.hop_length) > processing.max_frames:
        return _too_long(clip, waveform.duration_s, limit_s)
    if processing.loudness_lufs is not None:
        waveform = normalize_loudness(waveform, processing.loudness_lufs)
    return ProcessedClip(clip, waveform)


def _refuse_names(clip: SourceClip) -> Rejection | None:
    """What JSON can write and UTF-8 cannot: half a surrogate pair."""
    for name in ("id", "language", "speaker"):
        try:
            (getattr(clip, name) or "").encode("utf-8")
        except UnicodeEncodeError:
            return Rejection(
                clip.source,
                reason=f"its {name} holds half a surrogate pair",
                remedy=f"write the {name} in UTF-8",
            )
    return None


def _refuse_text(clip: SourceClip, max_text_bytes: int) -> Rejection | None:
    try:
        num_bytes = len(text_ids(clip.text, clip.language, TagTable.default()))
    except TextError as error:
        return Rejection(clip.source, reason=str(error), remedy="mend the transcript")
    if num_bytes <= max_text_bytes:
        return None
    return Rejection(
        clip.source,
        reason=f"transcript has {num_bytes} bytes, the model reads {max_text_bytes}",
        remedy="split the clip and its transcript",
    )


def _refuse_length(clip: SourceClip, duration_s: float, limit_s: float) -> Rejection | None:
    if duration_s < MIN_DURATION_S:
        return Rejection(
            clip.source,
            reason=f"lasts {1000 * duration_s:.1f} ms, less than {1000 * MIN_DURATION_S:.0f}",
            remedy="record it again or remove it",
        )
    # Resampling rounds, so a duration a little beyond may still fit into the frames.
    return _too_long(clip, duration_s, limit_s) if duration_s > limit_s + 0.01 else None


def _too_long(clip: SourceClip, duration_s: float, limit_s: float) -> Rejection:
    return Rejection(
        clip.source,
        reason=f"lasts {duration_s:.1f} s, the model holds up to {limit_s:.1f} s",
        remedy="split the clip and its transcript",
    )


def refuse_unreadable(audio: Path) -> None:
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


def read_processing(recorded: Mapping[str, object] | None) -> Processing:
    """Inverse of `dataclasses.asdict`; of a shard that records nothing, what was done then.

    Raises:
        TypeError: it names what this version does not know.
    """
    return UNPROCESSED if recorded is None else Processing(**recorded)  # type: ignore[arg-type]
