"""Resampling keeps the sound and the duration."""

import numpy as np
import pytest
from fake_audio import tone

from dialoom.audio import resample


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000, 96_000])
def test_keeps_duration_and_pitch(rate: int) -> None:
    resampled = resample(tone(1.0, sample_rate_hz=rate), 44_100)
    assert resampled.sample_rate_hz == 44_100
    assert resampled.samples.dtype == np.float32
    assert resampled.num_samples == 44_100
    middle = slice(4_000, -4_000)
    expected = tone(1.0, sample_rate_hz=44_100).samples[middle]
    np.testing.assert_allclose(resampled.samples[middle], expected, atol=2e-3)


def test_same_rate_changes_nothing() -> None:
    waveform = tone(0.1)
    assert resample(waveform, waveform.sample_rate_hz) is waveform


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    resampled = resample(tone(1.0, sample_rate_hz=48_000, frequency_hz=15_000), 16_000)
    assert np.abs(resampled.samples[1_000:-1_000]).max() < 1e-3
