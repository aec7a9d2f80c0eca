"""Audio files ↔ Waveform, through libsndfile: wav, flac, ogg, opus, mp3.

Refuses what no codec can learn from: files that are no audio, hold no samples, hold samples that
are not numbers, or are silent. Every refusal is one line: which file, what is wrong, what to do.
"""

import io
import os
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32

from dialoom.audio.waveform import Waveform
from dialoom.errors import AudioError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 96_000

SILENCE_PEAK = 1e-3
"""-60 dBFS: below this peak a recording is silence. Quiet speech peaks above -40 dBFS."""


class AudioFileError(AudioError):
    """One file cannot be used; the parts of the message are kept for lists of rejections."""

    def __init__(self, path: Path, *, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


def read_audio(path: str | Path) -> Waveform:
    """Reads a whole file; several channels become their mean.

    Raises:
        AudioError: there is no such file, it is no audio, is damaged, has a rate outside
            8–96 kHz, no samples, samples that are not finite, or only silence.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioFileError(path, reason="no such file", remedy="correct the path")
    if path.stat().st_size == 0:
        raise AudioFileError(
            path, reason="the file is empty (0 bytes)", remedy="copy it again or remove it"
        )
    samples_NM, sample_rate_hz = _decode(path)
    samples = samples_NM.mean(axis=1, dtype=np.float32)
    _refuse_unusable(path, samples)
    return Waveform(samples=samples, sample_rate_hz=sample_rate_hz)


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


def _decode(path: Path) -> tuple[Float32[np.ndarray, "N M"], int]:
    """The samples of all M channels, and their rate."""
    try:
        with soundfile.SoundFile(path) as file:
            sample_rate_hz = int(file.samplerate)
            if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
                raise AudioFileError(
                    path,
                    reason=f"sample rate {sample_rate_hz} Hz is outside "
                    f"{MIN_SAMPLE_RATE_HZ}–{MAX_SAMPLE_RATE_HZ} Hz",
                    remedy="resample it first",
                )
            return file.read(dtype="float32", always_2d=True), sample_rate_hz
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            path,
            reason=f"not readable as audio ({error.error_string.rstrip('.')})",
            remedy="export it again as wav or flac",
        ) from error


def _refuse_unusable(path: Path, samples: Float32[np.ndarray, " N"]) -> None:
    if samples.size == 0:
        raise AudioFileError(path, reason="holds no samples", remedy="record it again or remove it")
    if not np.isfinite(samples).all():
        raise AudioFileError(
            path, reason="holds samples that are not finite (NaN or Inf)", remedy="export it again"
        )
    peak = float(np.abs(samples).max())
    if peak < SILENCE_PEAK:
        raise AudioFileError(
            path,
            reason=f"is silent (peak {peak:.1e}, below {SILENCE_PEAK:.0e} of full scale)",
            remedy="record it again or remove it",
        )
