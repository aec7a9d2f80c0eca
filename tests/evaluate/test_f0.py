"""The fundamental frequency on sounds whose pitch is known."""

import math

import numpy as np
import pytest
from fake_audio import tone
from fake_speech import fake_sentence

from dialoom.audio import Waveform
from dialoom.evaluate.f0 import (
    HOP_LENGTH,
    NO_PITCH,
    SAMPLE_RATE_HZ,
    measure_pitch,
    pitch_offset,
    track_f0,
)

PITCHES_HZ = (80.0, 100.0, 123.4, 155.0, 200.0, 261.6, 330.0, 400.0)


def _harmonics(frequency_hz: float, numbers: range, *, rate_hz: int = 16_000) -> Waveform:
    times_s = np.arange(rate_hz) / rate_hz
    sound = sum(np.sin(2 * np.pi * frequency_hz * n * times_s + n) for n in numbers)
    return Waveform((0.05 * sound).astype(np.float32), rate_hz)


def _glide(low_hz: float, high_hz: float, duration_s: float = 2.0) -> Waveform:
    """Even in semitones."""
    time_s = np.arange(round(duration_s * 16_000)) / 16_000
    frequency_hz = low_hz * (high_hz / low_hz) ** (time_s / duration_s)
    phase = 2 * np.pi * np.cumsum(frequency_hz) / 16_000
    return Waveform((0.3 * np.sin(phase)).astype(np.float32), 16_000)


def _noise(duration_s: float = 1.0, scale: float = 0.1) -> Waveform:
    samples = np.random.default_rng(0).normal(scale=scale, size=round(duration_s * 16_000))
    return Waveform(samples.astype(np.float32), 16_000)


@pytest.mark.parametrize("frequency_hz", PITCHES_HZ)
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_tone_has_its_frequency(frequency_hz: float, rate_hz: int) -> None:
    pitch = measure_pitch(tone(1.0, frequency_hz=frequency_hz, sample_rate_hz=rate_hz))
    assert pitch.median_hz == pytest.approx(frequency_hz, rel=2e-3)
    assert pitch.deviation_semitones < 0.1
    assert pitch.voiced > 0.95


@pytest.mark.parametrize("frequency_hz", PITCHES_HZ)
@pytest.mark.parametrize("numbers", [range(1, 9), range(2, 9)], ids=["full", "no fundamental"])
def test_harmonics_have_the_frequency_of_their_fundamental(
    frequency_hz: float, numbers: range
) -> None:
    """Not an octave above, where the sound is nearly periodic too, nor below, where it is."""
    pitch = measure_pitch(_harmonics(frequency_hz, numbers))
    assert pitch.median_hz == pytest.approx(frequency_hz, rel=2e-3)
    assert pitch.deviation_semitones < 0.1
    assert pitch.voiced > 0.95


def test_a_voice_whose_sounds_change_keeps_its_pitch() -> None:
    pitch = measure_pitch(fake_sentence(0, pitch_hz=140.0))
    assert pitch.median_hz == pytest.approx(140.0, rel=5e-3)
    assert pitch.deviation_semitones < 0.3
    assert pitch.voiced > 0.9


def test_an_octave_in_a_glide_has_the_deviation_of_even_spread() -> None:
    """12 semitones evenly: 12 ÷ √12; the median lies half an octave up."""
    pitch = measure_pitch(_glide(110.0, 220.0))
    assert pitch.deviation_semitones == pytest.approx(12 / math.sqrt(12), rel=0.03)
    assert pitch.median_hz == pytest.approx(110 * math.sqrt(2), rel=0.01)


def test_noise_has_no_pitch() -> None:
    assert measure_pitch(_noise()).voiced < 0.02


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.full(16_000, 0.3), 1e-5 * np.sin(np.arange(16_000) / 10)],
    ids=["silence", "direct current", "far below hearing"],
)
def test_silence_has_no_pitch(samples: np.ndarray) -> None:
    pitch = measure_pitch(Waveform(samples.astype(np.float32), 16_000))
    assert pitch.voiced == 0 and math.isnan(pitch.median_hz)
    assert math.isnan(pitch.deviation_semitones)


def test_the_voiced_share_counts_frames_of_speech_noise_and_silence() -> None:
    parts = [tone(1.0, frequency_hz=150.0), _noise(1.0), Waveform(np.zeros(32_000, np.float32), 1)]
    samples = np.concatenate([part.samples for part in parts])
    pitch = measure_pitch(Waveform(samples, 16_000))
    assert pitch.voiced == pytest.approx(0.25, abs=0.02)
    assert pitch.median_hz == pytest.approx(150, rel=2e-3)


def test_loudness_does_not_matter() -> None:
    loud = fake_sentence(1)
    quiet = Waveform(loud.samples * np.float32(0.1), loud.sample_rate_hz)
    found = [measure_pitch(loud), measure_pitch(quiet)]
    assert found[0].voiced == found[1].voiced
    assert found[0].median_hz == pytest.approx(found[1].median_hz)


def test_a_sound_outside_the_range_is_not_voiced() -> None:
    assert measure_pitch(tone(1.0, frequency_hz=45.0)).voiced < 0.02


@pytest.mark.parametrize("num_samples", [0, 1, 900])
def test_what_is_shorter_than_a_frame_has_no_figure(num_samples: int) -> None:
    pitch = measure_pitch(Waveform(np.full(num_samples, 0.1, np.float32), 16_000))
    assert math.isnan(pitch.voiced)


def test_a_frame_every_ten_milliseconds() -> None:
    assert HOP_LENGTH / SAMPLE_RATE_HZ == 0.01
    assert len(track_f0(tone(1.0))) == pytest.approx(100, abs=6)


def test_an_octave_up_is_twelve_semitones() -> None:
    low, high = (measure_pitch(tone(1.0, frequency_hz=hz)) for hz in (110.0, 220.0))
    assert pitch_offset(high, low).semitones == pytest.approx(12, abs=0.05)
    assert pitch_offset(low, high).semitones == pytest.approx(-12, abs=0.05)
    assert pitch_offset(high, low).voiced == pytest.approx(0, abs=0.02)
    assert math.isnan(pitch_offset(high, NO_PITCH).semitones)
