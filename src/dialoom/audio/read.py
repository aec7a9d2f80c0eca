"""Audio files ↔ Waveform, through libsndfile: wav, flac, ogg, opus, mp3.

Refuses what no codec can learn from: files that are no audio, hold no samples, hold samples that
are not numbers, lack their end, or are silent. Every refusal is one line: which file, what is
wrong, what to do.
"""

import io
import math
import os
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32

from dialoom.audio.ending import is_cut
from dialoom.audio.mpeg import tells_length, with_length
from dialoom.audio.waveform import Waveform
from dialoom.errors import AudioError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 96_000

MAX_CHANNELS = 32
"""More are the header of a damaged file."""

SILENCE_PEAK = 1e-3
"""-60 dBFS: below this peak a recording is silence. Quiet speech peaks above -40 dBFS."""


SEGMENT_TOLERANCE_S = 0.01
"""How far a segment may reach past the end: manifests round their times to hundredths."""

SEEKABLE_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")
"""libsndfile's names of formats in which a seek lands on the sample; others decode from the start.
"""


@dataclass(frozen=True)
class Segment:
    """A part of a recording, in seconds from its start.

    Attributes:
        start_s: of its first sample.
        end_s: of the sample after its last; None for the end of the recording.
    """

    start_s: float
    end_s: float | None = None

    def __str__(self) -> str:
        return f"{self.start_s:.3f}-{'end' if self.end_s is None else f'{self.end_s:.3f}'}"


class AudioFileError(AudioError):
    """One file cannot be used; the parts of the message are kept for lists of rejections."""

    def __init__(self, path: Path, *, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


UNKNOWN_LENGTH = 1 << 62
"""libsndfile's number of samples where the header does not tell; then it cannot find the end."""

CUT_TOLERANCE_S = 0.1
"""Samples of so much time may be missing at the end: encoders' delays are counted in or not."""


def read_audio(
    path: str | Path, *, segment: Segment | None = None, max_seconds: float | None = None
) -> Waveform:
    """Reads a whole file, or one segment of it; several channels become their mean.

    Args:
        path: the file.
        segment: the part to read.
        max_seconds: what is longer, as its header says, is refused before it is decoded.

    Raises:
        AudioError: there is no such file, it is no audio, is damaged, has a rate outside
            8–96 kHz, no samples, samples that are not finite, only silence, or no end; it is too
            long; or the segment lies outside the recording.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioFileError(path, reason="no such file", remedy="correct the path")
    return _read(path, path, path.stat().st_size, _Part(segment or Segment(0.0), max_seconds))


def read_audio_bytes(
    data: bytes,
    *,
    name: Path,
    segment: Segment | None = None,
    max_seconds: float | None = None,
) -> Waveform:
    """As `read_audio`, of a file that is in memory; `name` stands in the messages.

    Raises:
        AudioError: as `read_audio`.
    """
    part = _Part(segment or Segment(0.0), max_seconds)
    return _read(io.BytesIO(data), name, len(data), part)


@dataclass(frozen=True)
class _Part:
    """What is to be read of a recording, and how long it may be."""

    segment: Segment
    max_seconds: float | None


def _read(file: Path | io.BytesIO, name: Path, num_bytes: int, part: _Part) -> Waveform:
    if num_bytes == 0:
        raise AudioFileError(
            name, reason="the file is empty (0 bytes)", remedy="copy it again or remove it"
        )
    samples_NM, sample_rate_hz = _decode(file, name, part)
    samples = down_mix(samples_NM)
    refuse_unusable(name, samples)
    return Waveform(samples=samples, sample_rate_hz=sample_rate_hz)


def down_mix(samples_NM: Float32[np.ndarray, "N M"]) -> Float32[np.ndarray, " N"]:
    """The mean of all M channels; of one, itself."""
    if samples_NM.shape[1] == 1:
        return samples_NM[:, 0]
    mean: Float32[np.ndarray, " N"] = samples_NM.mean(axis=1, dtype=np.float32)
    return mean


def write_audio(path: str | Path, waveform: Waveform) -> None:
    """Writes the format that the file name's ending says; samples beyond ±1 are clipped.

    Raises:
        AudioError: as `check_writable`, or the disk does not take the file.
    """
    path = Path(path)
    check_writable(path, waveform.sample_rate_hz)
    samples = np.clip(waveform.samples, -1.0, 1.0)
    try:
        soundfile.write(path, samples, waveform.sample_rate_hz, **_encoding(path))
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            path,
            reason=f"cannot be written ({error.error_string.rstrip('.')})",
            remedy="choose another file",
        ) from error


def check_writable(path: Path, sample_rate_hz: int) -> None:
    """Refuses a file that `write_audio` could not write, before long work is done for it.

    Raises:
        AudioError: the ending is unknown, its format cannot hold this sample rate, the directory
            does not exist, or no file may be written there.
    """
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise AudioFileError(
            path,
            reason=f"cannot write audio as '{path.suffix}'",
            remedy=f"choose one of {', '.join(AUDIO_SUFFIXES)}",
        )
    if not _holds_rate(path, sample_rate_hz):
        raise AudioFileError(
            path,
            reason=f"'{path.suffix}' cannot hold {sample_rate_hz} Hz",
            remedy="choose .wav or .flac",
        )
    if not path.parent.is_dir():
        raise AudioFileError(
            path,
            reason=f"there is no directory {path.parent}",
            remedy="make it, or name another file",
        )
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise AudioFileError(
            path, reason="no file may be written there", remedy="name another file"
        )


def _encoding(path: Path) -> dict[str, str]:
    """What libsndfile must be told where the ending does not say it."""
    return {"format": "OGG", "subtype": "OPUS"} if path.suffix.lower() == ".opus" else {}


def _holds_rate(path: Path, sample_rate_hz: int) -> bool:
    """Asks libsndfile itself, by opening such a file in memory."""
    if sample_rate_hz < 1:  # libsndfile crashes on an OGG of rate 0
        return False
    encoding = {"format": path.suffix[1:].upper(), **_encoding(path)}
    try:
        soundfile.SoundFile(io.BytesIO(), "w", sample_rate_hz, channels=1, **encoding).close()
    except soundfile.LibsndfileError:
        return False
    return True


def _decode(
    source: Path | io.BytesIO, name: Path, part: _Part
) -> tuple[Float32[np.ndarray, "N M"], int]:
    """The samples of all M channels, and their rate."""
    try:
        with open_sound(source) as file:
            refuse_header(file, name)
            samples_NM = _read_part(file, name, part)
            num_decoded, rate_hz, format = file.tell(), int(file.samplerate), file.format
            num_told = int(file.frames)
    except soundfile.LibsndfileError as error:
        raise unreadable(name, error) from error
    if part.segment.end_s is None:
        _refuse_cut(source, name, format, (num_decoded, num_told, rate_hz))
    return samples_NM, rate_hz


def open_sound(source: Path | io.BytesIO) -> soundfile.SoundFile:
    """As libsndfile opens it, but an MP3 that does not say its length gets it from its frames.

    Raises:
        LibsndfileError: it is no audio.
    """
    file = soundfile.SoundFile(source)
    if file.format != "MP3":
        return file
    with _raw(source) as raw:
        data = raw.read()
    if tells_length(data):
        return file
    file.close()
    return soundfile.SoundFile(io.BytesIO(with_length(data)))


def _raw(source: Path | io.BytesIO) -> BufferedIOBase:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source.getvalue())


def unreadable(name: Path, error: soundfile.LibsndfileError) -> AudioFileError:
    """What libsndfile says, in one line."""
    return AudioFileError(
        name,
        reason=f"not readable as audio ({error.error_string.rstrip('.')})",
        remedy="export it again as wav or flac",
    )


def refuse_header(file: soundfile.SoundFile, name: Path) -> None:
    """Raises AudioFileError for a rate or a number of channels that is not read."""
    rate_hz = int(file.samplerate)
    if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioFileError(
            name,
            reason=f"sample rate {rate_hz} Hz is outside "
            f"{MIN_SAMPLE_RATE_HZ}–{MAX_SAMPLE_RATE_HZ} Hz",
            remedy="resample it first",
        )
    if file.channels > MAX_CHANNELS:
        raise AudioFileError(
            name,
            reason=f"has {file.channels} channels, at most {MAX_CHANNELS} are read",
            remedy="export it again with one",
        )
    if file.frames >= UNKNOWN_LENGTH:
        raise AudioFileError(
            name,
            reason="its header does not say how long it is, as of a FLAC from a pipe",
            remedy="export it again into a file",
        )


def _read_part(file: soundfile.SoundFile, name: Path, part: _Part) -> Float32[np.ndarray, "N M"]:
    """The samples from round(start × rate) up to round(end × rate), as the file has them."""
    rate_hz, segment = int(file.samplerate), part.segment
    first = round(segment.start_s * rate_hz)
    last = None if segment.end_s is None else round(segment.end_s * rate_hz)
    most = None if part.max_seconds is None else math.floor(part.max_seconds * rate_hz)
    if most is not None:
        _refuse_longer(name, min(last or file.frames, file.frames) - first, most, rate_hz)
    skipped = min(first, file.frames) if file.format in SEEKABLE_FORMATS else 0
    if skipped:  # even a seek to 0 changes the last bit of what mpg123 decodes
        file.seek(skipped)
    wanted = -1 if last is None else last - skipped
    samples_NM: np.ndarray = file.read(wanted, dtype="float32", always_2d=True)
    num_frames = skipped + len(samples_NM)
    too_late = last is not None and last > num_frames + math.ceil(SEGMENT_TOLERANCE_S * rate_hz)
    if too_late or first >= num_frames > 0:
        raise AudioFileError(
            name,
            reason=f"segment {segment} s lies outside the recording of "
            f"{num_frames / rate_hz:.3f} s",
            remedy="correct its start and end",
        )
    return samples_NM[first - skipped :]


def _refuse_longer(name: Path, num_samples: int, most: int, rate_hz: int) -> None:
    if num_samples > most:
        raise AudioFileError(
            name,
            reason=f"lasts {num_samples / rate_hz:.1f} s, at most {most / rate_hz:.1f} s are read",
            remedy="cut it and its transcript into clips",
        )


def _refuse_cut(
    source: Path | io.BytesIO, name: Path, format: str, counts: tuple[int, int, int]
) -> None:
    """Refuses a recording without its end. Counts: samples decoded, samples told, rate."""
    num_decoded, num_told, rate_hz = counts
    lacks_samples = num_told - num_decoded > CUT_TOLERANCE_S * rate_hz
    with _raw(source) as file:
        if lacks_samples or is_cut(file, format):
            raise AudioFileError(
                name,
                reason=f"breaks off: its end is missing after {num_decoded / rate_hz:.2f} s",
                remedy="copy or export it again",
            )


def refuse_unusable(path: Path, samples: Float32[np.ndarray, " N"]) -> None:
    """Raises AudioFileError for no samples, such as are not finite, and silence."""
    if samples.size == 0:
        raise AudioFileError(path, reason="holds no samples", remedy="record it again or remove it")
    peak = float(max(samples.max(), -samples.min()))
    if not math.isfinite(peak):
        raise AudioFileError(
            path, reason="holds samples that are not finite (NaN or Inf)", remedy="export it again"
        )
    if peak < SILENCE_PEAK:
        raise AudioFileError(
            path,
            reason=f"is silent (peak {peak:.1e}, below {SILENCE_PEAK:.0e} of full scale)",
            remedy="record it again or remove it",
        )
