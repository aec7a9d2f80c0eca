"""Silence at the edges is cut to a length, speech never."""

import numpy as np
import pytest
from fake_speech import fake_sentence

from dialoom.audio import Waveform, trim_edges

RATE_HZ = 16_000


def _padded(before_s: float, after_s: float, noise: float) -> tuple[Waveform, Waveform]:
    """Speech, and the same speech with a room around it."""
    speech = fake_sentence(2)
    rng = np.random.default_rng(0)
    silence = (round(before_s * RATE_HZ), round(after_s * RATE_HZ))
    samples = np.pad(speech.samples, silence)
    samples += noise * rng.standard_normal(len(samples)).astype(np.float32)
    return speech, Waveform(samples, RATE_HZ)


@pytest.mark.parametrize("noise", [0.0, 1e-5, 3e-4])
@pytest.mark.parametrize("kept_s", [0.0, 0.2])
def test_what_exceeds_is_cut(noise: float, kept_s: float) -> None:
    speech, padded = _padded(1.0, 2.0, noise)
    trimmed = trim_edges(padded, kept_s)
    extra_s = trimmed.duration_s - speech.duration_s
    assert extra_s == pytest.approx(2 * kept_s, abs=0.041), "two frames of 20 ms"


def test_less_silence_than_that_stays() -> None:
    _, padded = _padded(0.15, 0.1, 0.0)
    np.testing.assert_array_equal(trim_edges(padded, 0.2).samples, padded.samples)


def test_a_pause_inside_stays() -> None:
    speech = fake_sentence(3).samples
    samples = np.concatenate([speech, np.zeros(RATE_HZ, np.float32), speech])
    np.testing.assert_array_equal(trim_edges(Waveform(samples, RATE_HZ), 0.2).samples, samples)


def test_loudness_does_not_matter() -> None:
    _, padded = _padded(1.0, 1.0, 1e-4)
    quiet = Waveform(padded.samples * np.float32(0.01), RATE_HZ)
    assert trim_edges(quiet, 0.2).num_samples == trim_edges(padded, 0.2).num_samples


@pytest.mark.parametrize("num_samples", [0, 1, 319, 321])
def test_the_shortest(num_samples: int) -> None:
    waveform = Waveform(np.ones(num_samples, np.float32), RATE_HZ)
    assert trim_edges(waveform, 0.0).num_samples == num_samples
