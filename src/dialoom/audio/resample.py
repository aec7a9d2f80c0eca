"""Waveform → Waveform at another rate."""

import soxr

from dialoom.audio.waveform import Waveform

RESAMPLER = "soxr HQ"
"""Recorded in every corpus: another resampler makes slightly different codes."""


def resample(waveform: Waveform, sample_rate_hz: int) -> Waveform:
    """Converts the rate with soxr at quality HQ; at the rate it has, returns it as it is."""
    if waveform.sample_rate_hz == sample_rate_hz:
        return waveform
    samples = soxr.resample(waveform.samples, waveform.sample_rate_hz, sample_rate_hz, quality="HQ")
    return Waveform(samples=samples, sample_rate_hz=sample_rate_hz)
