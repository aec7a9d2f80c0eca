"""Audio files ↔ Waveform, through libsndfile: wav, flac, ogg, opus, mp3.

Refuses what no codec can learn from: files that are no audio, hold no samples, hold samples that
are not numbers, or are silent. Every refusal is one line: which file, what is wrong, what to do.
"""

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
        AudioError: the ending is unknown, or the format cannot hold this sample rate.
    """
    path = Path(path)
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise AudioFileError(
            path,
            reason=f"cannot write audio as '{path.suffix}'",
            remedy=f"choose one of {', '.join(AUDIO_SUFFIXES)}",
        )
    samples = np.clip(waveform.samples, -1.0, 1.0)
    opus = {"format": "OGG", "subtype": "OPUS"} if path.suffix.lower() == ".opus" else {}
    try:
        soundfile.write(path, samples, waveform.sample_rate_hz, **opus)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            path,
            reason=f"cannot be written at {waveform.sample_rate_hz} Hz ({error.error_string})",
            remedy="choose .wav or .flac, or a folder that exists",
        ) from error


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
