"""Waveform → mel-cepstra: what was said and by whom, without how loud; pitch hardly counts.

ln|S(k)|, the log amplitude in mel band k of K, is written as c(0) + Σ_m c(m) cos(πm(k + ½)/K), the
convention of Fukada, Tokuda et al. (ICASSP 1992). The coefficients 1 … 24 are kept: c(0) is the
level, those above 24 are the ripple of the harmonics.
"""

import math
from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from dialoom.audio import Waveform, resample

SAMPLE_RATE_HZ = 16_000
WINDOW_LENGTH = 640
FFT_LENGTH = 1024
NUM_BANDS = 80
NUM_COEFFICIENTS = 24

FLOOR_DB = -50.0
"""Under the clip's loudest band: what lies lower is taken for silence. Digital zero and the faint
noise of a codec sound alike, and their logarithms would not be."""

_SILENCE = 1e-6

DB_PER_UNIT = 10 / math.log(10) * math.sqrt(2)
"""Kubichek (1993): MCD = 10/ln 10 · √(2 Σ_m Δc(m)²), the distance of the smooth spectra in dB,
root-mean-square over the mel bands."""


def mel_cepstra(waveform: Waveform, *, hop_s: float) -> Float64[np.ndarray, "frames coefficients"]:
    """A frame every `hop_s` seconds, each of the 40 ms around it; c(1) … c(24).

    The level does not matter. A clip without samples has no frames; one of silence has zeros.
    """
    hop_length = round(hop_s * SAMPLE_RATE_HZ)
    samples = resample(waveform, SAMPLE_RATE_HZ).samples if waveform.num_samples else _NOTHING
    num_frames = -(-samples.size // hop_length)
    if num_frames == 0:
        return np.zeros((0, NUM_COEFFICIENTS))
    power = np.abs(np.fft.rfft(_windows(samples, num_frames, hop_length), FFT_LENGTH)) ** 2
    amplitudes = np.sqrt(power @ _mel_bands())
    floor = max(float(amplitudes.max()) * 10 ** (FLOOR_DB / 20), _SILENCE)
    cepstra: Float64[np.ndarray, "frames coefficients"] = (
        np.log(np.maximum(amplitudes, floor)) @ _cosines()
    )
    return cepstra


_NOTHING = np.zeros(0, np.float32)


def _windows(
    samples: Float32[np.ndarray, " N"], num_frames: int, hop_length: int
) -> Float64[np.ndarray, "frames window"]:
    """Hann windows, the first centred on the middle of the first hop."""
    before = (WINDOW_LENGTH - hop_length) // 2
    total = (num_frames - 1) * hop_length + WINDOW_LENGTH
    padded = np.pad(samples, (before, total - before - samples.size))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_LENGTH)[::hop_length]
    weighted: Float64[np.ndarray, "frames window"] = windows * np.hanning(WINDOW_LENGTH)
    return weighted


@cache
def _mel_bands() -> Float64[np.ndarray, "bins bands"]:
    """Overlapping triangles, evenly spaced in mel = 2595 · lg(1 + f/700) (O'Shaughnessy 1987)."""
    top_mel = 2595 * math.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, NUM_BANDS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(FFT_LENGTH, 1 / SAMPLE_RATE_HZ)[:, None]
    low, middle, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    bands: Float64[np.ndarray, "bins bands"] = np.clip(np.minimum(rising, falling), 0, None)
    return bands


@cache
def _cosines() -> Float64[np.ndarray, "bands coefficients"]:
    """The discrete cosine transform that gives c(1) … c(24)."""
    bands = np.arange(NUM_BANDS)[:, None] + 0.5
    orders = np.arange(1, NUM_COEFFICIENTS + 1)
    cosines: Float64[np.ndarray, "bands coefficients"] = (
        np.cos(np.pi * orders * bands / NUM_BANDS) * 2 / NUM_BANDS
    )
    return cosines
