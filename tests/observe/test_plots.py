"""Pictures: of the right size, with the right things in them, the same on every run."""

import io

import numpy as np
from PIL import Image

from dialoom.observe.plots import spectrogram_png


def tone(frequency_hz: float, *, seconds: float, sample_rate_hz: int) -> np.ndarray:
    times = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


def test_a_tone_is_a_line_at_its_height():
    samples = tone(2_000, seconds=1.5, sample_rate_hz=44_100)
    png = spectrogram_png(samples, sample_rate_hz=44_100, height=80)
    image = Image.open(io.BytesIO(png))
    assert image.size == (150, 80)
    brightness = np.asarray(image.convert("L"), dtype=float)[:, 20:-20].mean(axis=1)
    assert abs(int(brightness.argmax()) - 60) <= 1  # 2 of 8 kHz from below


def test_silence_and_a_single_sample_have_a_picture():
    for samples in (np.zeros(8_000, np.float32), np.zeros(1, np.float32)):
        assert spectrogram_png(samples, sample_rate_hz=8_000).startswith(b"\x89PNG")
