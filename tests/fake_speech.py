"""Speech-like sound by arithmetic: a pitch pulse through three formants that wander."""

import numpy as np

from dialoom.audio import Waveform

FORMANTS_HZ = ((250, 850), (900, 2300), (2400, 3200))
NUM_HARMONICS = 36


def fake_sentence(
    seed: int, *, num_sounds: int = 10, speed: float = 1.0, pitch_hz: float = 110.0
) -> Waveform:
    """A row of sounds, 0.1 s each at speed 1, that glide into each other; the seed is the text."""
    rate_hz = 16_000
    rng = np.random.default_rng(seed)
    num_samples = round(num_sounds * 0.1 * rate_hz / speed)
    position = np.linspace(0, num_sounds - 1, num_samples)
    sounds = np.arange(num_sounds)
    formants = [np.interp(position, sounds, rng.uniform(*span, num_sounds)) for span in FORMANTS_HZ]
    loudness = np.interp(position, sounds, rng.uniform(0.3, 1.0, num_sounds))
    time_s = np.arange(num_samples) / rate_hz
    samples = np.zeros(num_samples)
    for number in range(1, NUM_HARMONICS + 1):
        frequency_hz = number * pitch_hz
        amplitude = sum(1 / (1 + ((frequency_hz - formant) / 90) ** 2) for formant in formants)
        samples += amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    samples *= loudness * 0.1
    return Waveform(samples.astype(np.float32), rate_hz)
