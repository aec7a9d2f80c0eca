"""Mel-cepstra: their convention, and what they do not hear."""

import numpy as np
import pytest
from fake_speech import fake_sentence

from dialoom.audio import Waveform, resample
from dialoom.evaluate import cepstra
from dialoom.evaluate.cepstra import DB_PER_UNIT


def mel_cepstra(waveform: Waveform) -> np.ndarray:
    return cepstra.mel_cepstra(waveform, hop_s=0.02)


def test_all_coefficients_give_the_rms_difference_of_the_log_spectra_in_db(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cepstra, "NUM_COEFFICIENTS", cepstra.NUM_BANDS - 1)
    cosines = cepstra._cosines.__wrapped__()
    left, right = np.random.default_rng(0).normal(size=(2, cepstra.NUM_BANDS))
    left, right = left - left.mean(), right - right.mean()  # without their level, c(0)
    rms_db = np.sqrt(np.mean((20 / np.log(10) * (left - right)) ** 2))
    assert DB_PER_UNIT * np.linalg.norm((left - right) @ cosines) == pytest.approx(rms_db)


def test_a_frame_every_hop() -> None:
    assert cepstra.mel_cepstra(fake_sentence(0), hop_s=0.005).shape == (200, 24)
    assert mel_cepstra(fake_sentence(0)).shape == (50, 24)
    assert mel_cepstra(Waveform(np.full(1, 0.5, np.float32), 16_000)).shape == (1, 24)
    assert mel_cepstra(Waveform(np.zeros(0, np.float32), 16_000)).shape == (0, 24)


def test_loudness_does_not_matter() -> None:
    loud = fake_sentence(0)
    quiet = Waveform(loud.samples * np.float32(0.1), loud.sample_rate_hz)
    assert mel_cepstra(quiet) == pytest.approx(mel_cepstra(loud), abs=1e-3)


def test_the_sample_rate_hardly_matters() -> None:
    clip = fake_sentence(0)
    difference = mel_cepstra(resample(clip, 44_100)) - mel_cepstra(clip)
    assert DB_PER_UNIT * np.linalg.norm(difference, axis=1).mean() < 0.5


def test_silence_has_no_shape() -> None:
    silence = Waveform(np.zeros(3200, np.float32), 16_000)
    assert mel_cepstra(silence) == pytest.approx(np.zeros((10, 24)), abs=1e-9)


def test_faint_noise_under_silence_is_silence() -> None:
    clip = fake_sentence(0)
    pause = np.zeros(3200, np.float32)
    noise = np.random.default_rng(0).normal(scale=1e-5, size=3200).astype(np.float32)
    exact, noisy = (
        mel_cepstra(Waveform(np.concatenate((clip.samples, tail)), 16_000))
        for tail in (pause, noise)
    )
    assert noisy == pytest.approx(exact, abs=1e-3)
