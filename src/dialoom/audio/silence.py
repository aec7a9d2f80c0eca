"""Silence around speech: where it is, and less of it."""

import numpy as np

from dialoom.audio.waveform import Waveform

FRAME_S = 0.02
SILENCE_BELOW_LOUD_DB = 35.0
"""A frame so far below the loud ones of its clip, of which 5 % are louder, is silence."""


def trim_edges(waveform: Waveform, max_silence_s: float) -> Waveform:
    """Without what exceeds `max_silence_s` of silence before the first and after the last sound.

    Silence is judged by frames of 20 ms against the loud ones of the same recording, so its level
    does not matter. What is kept of it holds the onset of an "f" or "h" that is quieter than that.
    """
    size = max(1, round(FRAME_S * waveform.sample_rate_hz))
    samples = waveform.samples
    if not samples.size:
        return waveform
    energy = np.add.reduceat(np.square(samples), range(0, len(samples), size))
    loud = np.flatnonzero(energy >= np.percentile(energy, 95) * 10 ** (-SILENCE_BELOW_LOUD_DB / 10))
    kept = round(max_silence_s * waveform.sample_rate_hz)
    start = max(0, int(loud[0]) * size - kept)
    end = min(len(samples), (int(loud[-1]) + 1) * size + kept)
    return Waveform(samples[start:end], waveform.sample_rate_hz)
