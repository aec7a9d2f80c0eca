"""Loudness as people hear it (ITU-R BS.1770-5), and gain that brings a recording to a level.

Written here, because the library for it needs SciPy, which nothing else in dialoom
does. Checked against the standard's own filter table and test signals.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Complex64, Float32, Float64

from dialoom.audio.waveform import Waveform

BLOCK_S, STEP_S = 0.4, 0.1
"""Gating blocks overlap by three quarters; a shorter recording has none."""

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0

PEAK_CEILING = 10 ** (-1 / 20)
"""-1 dBFS: gain never lifts a sample above it; the codec hears no clipping."""

TRANSFORM_LENGTH = 1 << 15
FILTER_MEMORY_S = 0.125
"""By then the filters' response to a pulse has fallen below -200 dB."""


def loudness_lufs(waveform: Waveform) -> float:
    """Gated loudness of one channel in LUFS; -inf for digital silence.

    A full-scale sine of 997 Hz has -3.01. Below 0.4 s, and where no block passes the gate of -70,
    it is the level of the whole: mean square in dB of full scale, unweighted.
    """
    rate_hz = waveform.sample_rate_hz
    samples = waveform.samples
    block, step = round(BLOCK_S * rate_hz), round(STEP_S * rate_hz)
    if len(samples) >= block:
        power = _block_power(_weighted(samples, rate_hz), block, step)
        power = power[power > _power(ABSOLUTE_GATE_LUFS)]
        if power.size:
            gate = power.mean() * 10 ** (RELATIVE_GATE_LU / 10)
            return _lufs(float(power[power > gate].mean()))
    mean_square = float(np.square(samples, dtype=np.float64).mean()) if samples.size else 0.0
    return 10 * math.log10(mean_square) if mean_square else -math.inf


def normalize_loudness(waveform: Waveform, target_lufs: float) -> Waveform:
    """Scaled to a loudness, or as near to it as a peak of -1 dBFS allows.

    Digital silence comes back as it is.
    """
    peak = float(np.abs(waveform.samples).max(initial=0.0))
    if peak == 0.0:
        return waveform
    gain = 10 ** ((target_lufs - loudness_lufs(waveform)) / 20)
    gain = min(gain, PEAK_CEILING / peak)
    scaled: Float32[np.ndarray, " N"] = waveform.samples * np.float32(gain)
    return Waveform(scaled, waveform.sample_rate_hz)


def _lufs(power: float) -> float:
    """The offset makes the weighting's gain at 997 Hz, 0.691 dB, count for nothing."""
    return 10 * math.log10(power) - 0.691


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _block_power(
    samples: Float32[np.ndarray, " N"], block: int, step: int
) -> Float64[np.ndarray, " blocks"]:
    sums = np.concatenate([[0.0], np.cumsum(np.square(samples), dtype=np.float64)])
    starts = np.arange(0, len(samples) - block + 1, step)
    power: Float64[np.ndarray, " blocks"] = (sums[starts + block] - sums[starts]) / block
    return power


def _weighted(samples: Float32[np.ndarray, " N"], rate_hz: int) -> Float32[np.ndarray, " N"]:
    """K-weighted, by multiplying the spectra of pieces that overlap (overlap-save).

    In single precision, which is half the work and 0.001 LU off at most.
    """
    memory = math.ceil(FILTER_MEMORY_S * rate_hz)
    fresh = TRANSFORM_LENGTH - memory
    count = math.ceil(len(samples) / fresh)
    padded = np.pad(samples, (memory, count * fresh - len(samples)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, TRANSFORM_LENGTH)[::fresh]
    filtered = np.fft.irfft(np.fft.rfft(pieces) * _response(rate_hz), TRANSFORM_LENGTH)
    weighted: Float32[np.ndarray, " N"] = filtered[:, memory:].reshape(-1)[: len(samples)]
    return weighted


@lru_cache
def _response(rate_hz: int) -> Complex64[np.ndarray, " K"]:
    """Of both filters, at the frequencies of a transform."""
    frequencies = np.arange(TRANSFORM_LENGTH // 2 + 1)
    delay = np.exp(-2j * np.pi * frequencies / TRANSFORM_LENGTH)
    response = np.ones_like(delay)
    for above, below in k_weighting(rate_hz):
        response *= np.polyval(above[::-1], delay) / np.polyval(below[::-1], delay)
    single: Complex64[np.ndarray, " K"] = response.astype(np.complex64)
    return single


Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Coefficients of z^0, z^-1, z^-2 above and below the fraction bar."""


def k_weighting(rate_hz: int) -> tuple[Biquad, Biquad]:
    """The shelf for the head and the high-pass of BS.1770 (tables 1 and 2), at any rate.

    The standard gives them for 48 kHz; these are the analogue prototypes that reproduce its tables
    there (De Man, "Evaluation of Implementations of the EBU R128 Loudness Measurement", AES 2018).
    """
    return _shelf(rate_hz), _high_pass(rate_hz)


def _shelf(rate_hz: int) -> Biquad:
    k, q = math.tan(math.pi * 1681.974450955533 / rate_hz), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    above = (
        (high + band * k / q + k * k) / scale,
        2 * (k * k - high) / scale,
        (high - band * k / q + k * k) / scale,
    )
    return above, (1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale)


def _high_pass(rate_hz: int) -> Biquad:
    k, q = math.tan(math.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    scale = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale)
