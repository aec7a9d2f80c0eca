"""Long recordings, read block by block."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from dialoom.audio.read import down_mix, open_sound, refuse_header, refuse_unusable, unreadable
from dialoom.audio.waveform import Waveform

BLOCK_S = 60


def read_mono(file: Path | io.BytesIO, name: Path, sample_rate_hz: int) -> Waveform:
    """A whole recording at another rate; only a block of it is held at its own.

    Three hours at 16 kHz are 690 MB.

    Args:
        file: the file, or its bytes.
        name: stands in the messages.
        sample_rate_hz: of the result.

    Raises:
        AudioError: as `read_audio`.
    """
    try:
        with open_sound(file) as opened:
            refuse_header(opened, name)
            samples = np.concatenate(list(_resampled_blocks(opened, sample_rate_hz)))
    except soundfile.LibsndfileError as error:
        raise unreadable(name, error) from error
    refuse_unusable(name, samples)
    return Waveform(samples, sample_rate_hz)


def _resampled_blocks(
    file: soundfile.SoundFile, sample_rate_hz: int
) -> Iterator[Float32[np.ndarray, " N"]]:
    own_rate_hz = int(file.samplerate)
    stream = soxr.ResampleStream(own_rate_hz, sample_rate_hz, 1, dtype="float32", quality="HQ")
    size = BLOCK_S * own_rate_hz
    block_NM = file.read(size, dtype="float32", always_2d=True)
    while len(block_NM):
        yield stream.resample_chunk(down_mix(block_NM))
        block_NM = file.read(size, dtype="float32", always_2d=True)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
