"""Pictures of sound."""

import io

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib import colormaps
from PIL import Image

SPECTROGRAM_WINDOW_S = 0.025
SPECTROGRAM_PIXELS_PER_SECOND = 100
SPECTROGRAM_TOP_HZ = 8_000
SPECTROGRAM_RANGE_DB = 70.0
"""What is so much quieter than the loudest point is drawn as silence."""


def spectrogram_png(
    samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int, height: int = 96
) -> bytes:
    """`spectrogram` as a file."""
    buffer = io.BytesIO()
    spectrogram(samples, sample_rate_hz=sample_rate_hz, height=height).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()


def spectrogram(
    samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int, height: int = 96
) -> Image.Image:
    """Up to 8 kHz, low frequencies below, a pixel for each 10 ms, without axes; in a palette."""
    levels = _spectrogram_levels(samples, sample_rate_hz)
    palette = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    image = Image.fromarray(levels[::-1])
    image.putpalette(palette.tobytes())
    return image.resize((image.width, height), Image.Resampling.NEAREST)


def _spectrogram_levels(
    samples: Float32[np.ndarray, " N"], sample_rate_hz: int
) -> UInt8[np.ndarray, "bands frames"]:
    """Decibels below the loudest point, 255 … 0, of the bands up to SPECTROGRAM_TOP_HZ."""
    window = round(SPECTROGRAM_WINDOW_S * sample_rate_hz)
    hop = sample_rate_hz / SPECTROGRAM_PIXELS_PER_SECOND
    padded = np.pad(samples, (window // 2, window))
    num_frames = max(1, int(len(samples) / hop))
    starts = (np.arange(num_frames) * hop).astype(int)
    frames = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    spectrum = np.abs(np.fft.rfft(frames, axis=1)).T
    num_bands = int(SPECTROGRAM_TOP_HZ * window / sample_rate_hz) + 1
    decibels = 20 * np.log10(spectrum[:num_bands] + 1e-7)
    share = 1 + (decibels - decibels.max()) / SPECTROGRAM_RANGE_DB
    levels: UInt8[np.ndarray, "bands frames"] = (np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)
    return levels
