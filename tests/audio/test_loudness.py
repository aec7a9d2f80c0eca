"""Loudness is that of ITU-R BS.1770, and gain never clips."""

import math

import numpy as np
import pytest
from fake_audio import tone
from fake_speech import fake_sentence
from scipy.signal import lfilter

from dialoom.audio import Waveform, loudness_lufs, normalize_loudness
from dialoom.audio.loudness import PEAK_CEILING, k_weighting


def _joined(*parts: Waveform) -> Waveform:
    return Waveform(np.concatenate([part.samples for part in parts]), parts[0].sample_rate_hz)


def test_filters_at_48_khz_are_those_of_the_standard() -> None:
    shelf, high_pass = k_weighting(48_000)
    assert shelf[0] == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285))
    assert shelf[1] == pytest.approx((1.0, -1.69065929318241, 0.73248077421585))
    assert high_pass[0] == (1.0, -2.0, 1.0)
    assert high_pass[1] == pytest.approx((1.0, -1.99004745483398, 0.99007225036621))


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_a_full_scale_sine_has_the_loudness_that_the_standard_says(rate_hz: int) -> None:
    sine = tone(3.0, sample_rate_hz=rate_hz, frequency_hz=997.0, peak=1.0)
    assert loudness_lufs(sine) == pytest.approx(-3.01, abs=0.05)


def test_quiet_parts_are_gated_out() -> None:
    """As signal 3 of EBU Tech 3341, but shorter; without a gate it would be 2.1 LU less.

    Blocks across the borders take 0.2 LU.
    """
    loud, quiet = (
        tone(s, frequency_hz=1000.0, peak=10 ** (p / 20)) for s, p in ((6, -20), (2, -33))
    )
    expected = loudness_lufs(loud)
    assert loudness_lufs(_joined(quiet, loud, quiet)) == pytest.approx(expected, abs=0.3)
    silence = Waveform(np.zeros(48_000, np.float32), 16_000)
    assert loudness_lufs(_joined(silence, loud, silence)) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("duration_s", [0.4, 1.234])
@pytest.mark.parametrize("frequency_hz", [40.0, 103.0, 1500.0, 5003.0])
def test_is_what_the_filters_make_sample_by_sample(frequency_hz: float, duration_s: float) -> None:
    """The other way to compute it, of one block or several without a gate that closes.

    Speech is within 0.02 LU, low tones are farthest.
    """
    waveform = tone(duration_s, frequency_hz=frequency_hz, peak=0.3)
    filtered = waveform.samples.astype(np.float64)
    for above, below in k_weighting(16_000):
        filtered = lfilter(above, below, filtered)
    starts = range(0, len(filtered) - 6400 + 1, 1600)
    power = np.mean([np.square(filtered[start : start + 6400]).mean() for start in starts])
    assert loudness_lufs(waveform) == pytest.approx(10 * math.log10(power) - 0.691, abs=0.08)


def test_a_short_clip_has_the_level_of_its_samples() -> None:
    assert loudness_lufs(tone(0.39, frequency_hz=100.0, peak=0.1)) == pytest.approx(
        -23.01, abs=0.02
    )


def test_what_no_gate_lets_through_has_the_level_of_its_samples() -> None:
    assert loudness_lufs(tone(1.0, peak=1e-4)) == pytest.approx(-83.01, abs=0.02)
    assert loudness_lufs(Waveform(np.zeros(16_000, np.float32), 16_000)) == -math.inf
    assert loudness_lufs(Waveform(np.zeros(0, np.float32), 16_000)) == -math.inf


@pytest.mark.parametrize("gain", [0.02, 1.0, 3.0])
def test_every_clip_comes_to_the_target(gain: float) -> None:
    speech = fake_sentence(1, num_sounds=20)
    scaled = Waveform(speech.samples * np.float32(gain), speech.sample_rate_hz)
    normalized = normalize_loudness(scaled, -23.0)
    assert loudness_lufs(normalized) == pytest.approx(-23.0, abs=0.01)
    assert normalized.samples.dtype == np.float32


def test_peaks_are_guarded() -> None:
    """A pulse in a murmur: the loudness would need a gain that clips."""
    murmur = tone(2.0, peak=0.001)
    murmur.samples[8000] = 0.9
    normalized = normalize_loudness(murmur, -20.0)
    assert np.abs(normalized.samples).max() == pytest.approx(PEAK_CEILING)
    too_loud = Waveform(2 * tone(1.0, peak=1.0).samples, 16_000)
    assert np.abs(normalize_loudness(too_loud, -5.0).samples).max() <= PEAK_CEILING + 1e-6


def test_silence_stays_silence() -> None:
    silence = Waveform(np.zeros(16_000, np.float32), 16_000)
    assert normalize_loudness(silence, -20.0) is silence
