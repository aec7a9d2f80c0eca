"""Loudness as people hear it (ITU-R BS.1770-5), and gain that brings a recording to a level.

Written here, because the library for it needs SciPy, which nothing else in dialoom
does. Checked against the standard's own filter table and test signals.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64

from dialoom.audio.waveform import Waveform

STEP_S, STEPS_PER_BLOCK = 0.1, 4
"""Gating blocks of 0.4 s overlap by three quarters; a shorter recording has none."""

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0

PEAK_CEILING = 10 ** (-1 / 20)
"""-1 dBFS: gain never lifts a sample above it; the codec hears no clipping."""


def loudness_lufs(waveform: Waveform) -> float:
    """Gated loudness of one channel in LUFS; -inf for digital silence.

    A full-scale sine of 997 Hz has -3.01. Below 0.4 s, and where no block passes the gate of -70,
    it is the level of the whole: mean square in dB of full scale, unweighted.
    """
    samples = waveform.samples
    if len(samples) >= STEPS_PER_BLOCK * _step(waveform.sample_rate_hz):
        power = _block_power(samples, waveform.sample_rate_hz)
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
    samples = waveform.samples
    peak = float(max(samples.max(initial=0.0), -samples.min(initial=0.0)))
    if peak == 0.0:
        return waveform
    gain = 10 ** ((target_lufs - loudness_lufs(waveform)) / 20)
    gain = min(gain, PEAK_CEILING / peak)
    scaled: Float32[np.ndarray, " N"] = samples * np.float32(gain)
    return Waveform(scaled, waveform.sample_rate_hz)


def _lufs(power: float) -> float:
    """The offset makes the weighting's gain at 997 Hz, 0.691 dB, count for nothing."""
    return 10 * math.log10(power) - 0.691


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _block_power(
    samples: Float32[np.ndarray, " N"], rate_hz: int
) -> Float64[np.ndarray, " blocks"]:
    """Mean square of every gating block after the K-weighting.

    By Parseval's theorem: of each step, the squares of its spectrum times those of the filters'
    response. So nothing is filtered, at a third of the work; that each step is taken for periodic
    makes less than 0.08 LU (measured: benchmarks/results/2026-11-22-prepare.md).
    """
    step = _step(rate_hz)
    count = len(samples) // step
    spectra = np.fft.rfft(samples[: count * step].reshape(count, step))
    parts = spectra.view(np.float32)
    power = np.square(parts, out=parts) @ _energy_response(rate_hz)
    sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    blocks: Float64[np.ndarray, " blocks"] = sums[STEPS_PER_BLOCK:] - sums[:-STEPS_PER_BLOCK]
    return blocks / STEPS_PER_BLOCK


def _step(rate_hz: int) -> int:
    return round(STEP_S * rate_hz)


@lru_cache
def _energy_response(rate_hz: int) -> Float32[np.ndarray, " twice_K"]:
    """What each real and each imaginary part of a step's spectrum, squared, adds to its power."""
    step = _step(rate_hz)
    delay = np.exp(-2j * np.pi * np.arange(step // 2 + 1) / step)
    response = np.ones_like(delay)
    for above, below in k_weighting(rate_hz):
        response *= np.polyval(above[::-1], delay) / np.polyval(below[::-1], delay)
    energy = 2 * np.square(np.abs(response)) / step**2
    if step % 2 == 0:
        energy[-1] /= 2  # the highest frequency has no mirror image; 0 Hz has a response of 0
    twice: Float32[np.ndarray, " twice_K"] = np.repeat(energy, 2).astype(np.float32)
    return twice


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
