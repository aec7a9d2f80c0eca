"""The doctor's checks of the sound: silence, clipping, loudness, true bandwidth, duplicates."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from dialoom.audio import SILENCE_PEAK, Waveform
from dialoom.errors import AudioError
from dialoom.evaluate.doctor_findings import Symptom
from dialoom.evaluate.doctor_subject import Subject

FRAME_S = 0.02
SILENCE_BELOW_LOUD_DB = 35.0
"""A frame so far below the loud ones of its clip is silence."""
MOSTLY_SILENCE, EDGE_SILENCE_S = 0.6, 0.5

CLIP_PEAK, CLIP_LEVEL, CLIP_SHARE = 0.9, 0.985, 0.004
"""Clipped is a clip that peaks above the first and stays within the second of its peak for more
than the third of its samples: speech that is whole hardly touches its peak."""

LOUDNESS_SPREAD_DB = 10.0

NARROW_HZ = 4_600
SPECTRUM_RANGE_DB = 65.0
"""Below the loudest band. Fricatives lie some 40 dB down, a resampler's stop band 90 and more."""
MAX_SPECTRA = 200


@dataclass(frozen=True)
class SoundMeasures:
    """What one clip sounds like, as numbers.

    Attributes:
        duration_s: length.
        sample_rate_hz: as it is stored.
        loudness_db: level of the frames that are not silence, full scale 0.
        silence_share: frames that are silence.
        edge_silence_s: the longer of the silences before and after.
        clipped_share: samples that lie at the peak, where that is near full scale.
        bandwidth_hz: up to where there is sound.
    """

    duration_s: float
    sample_rate_hz: int
    loudness_db: float
    silence_share: float
    edge_silence_s: float
    clipped_share: float
    bandwidth_hz: float


def measure_sound(waveform: Waveform) -> SoundMeasures | None:
    """Measures a clip; None if there is nothing to hear in it."""
    samples = waveform.samples
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < SILENCE_PEAK:
        return None
    size = max(1, round(FRAME_S * waveform.sample_rate_hz))
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    power = np.square(padded).mean(axis=1)
    is_loud = power >= np.percentile(power, 95) * 10 ** (-SILENCE_BELOW_LOUD_DB / 10)
    clipped = float((np.abs(samples) >= CLIP_LEVEL * peak).mean()) if peak >= CLIP_PEAK else 0.0
    return SoundMeasures(
        duration_s=waveform.duration_s,
        sample_rate_hz=waveform.sample_rate_hz,
        loudness_db=10 * float(np.log10(power[is_loud].mean())),
        silence_share=1 - float(is_loud.mean()),
        edge_silence_s=FRAME_S * _edge_frames(is_loud),
        clipped_share=clipped,
        bandwidth_hz=bandwidth_hz(waveform),
    )


def bandwidth_hz(waveform: Waveform) -> float:
    """Up to where a clip has sound, whatever its sample rate could hold.

    For each band, the level that 5 % of the clip reach, so that a single "s" opens the high ones.
    """
    rate_hz = waveform.sample_rate_hz
    size = 2 ** round(np.log2(0.046 * rate_hz))
    samples: Float32[np.ndarray, " N"] = np.pad(
        waveform.samples, (0, max(0, size - waveform.num_samples))
    )
    count = min(MAX_SPECTRA, 1 + 2 * (len(samples) - size) // size)
    starts = np.linspace(0, len(samples) - size, count).astype(int)
    frames = samples[starts[:, None] + np.arange(size)] * np.hanning(size).astype(np.float32)
    power = np.percentile(np.square(np.abs(np.fft.rfft(frames, axis=1))), 95, axis=0)
    width = max(1, round(100 * size / rate_hz))
    smooth = np.convolve(power, np.ones(width) / width, mode="same")
    heard = np.flatnonzero(smooth > smooth.max() * 10 ** (-SPECTRUM_RANGE_DB / 10))
    return float(heard[-1]) * rate_hz / size if len(heard) else 0.0


def check_sounds(measured: Mapping[str, SoundMeasures | None]) -> Iterator[Symptom]:
    """What is wrong with clips, by their ids."""
    heard = {clip_id: found for clip_id, found in measured.items() if found is not None}
    for clip_id in measured:
        if clip_id not in heard:
            yield Symptom("silent", clip_id, "below -60 dB throughout")
    median_db = statistics.median(m.loudness_db for m in heard.values()) if heard else 0.0
    for clip_id, found in heard.items():
        yield from _check_sound(clip_id, found)
        if abs(found.loudness_db - median_db) > LOUDNESS_SPREAD_DB:
            detail = f"{found.loudness_db:.0f} dB, the median is {median_db:.0f}"
            yield Symptom("loudness", clip_id, detail)


def _check_sound(clip_id: str, found: SoundMeasures) -> Iterator[Symptom]:
    if found.silence_share > MOSTLY_SILENCE:
        yield Symptom("mostly-silence", clip_id, f"{found.silence_share:.0%} of it")
    if found.edge_silence_s > EDGE_SILENCE_S:
        yield Symptom("edge-silence", clip_id, f"{found.edge_silence_s:.1f} s")
    if found.clipped_share > CLIP_SHARE:
        yield Symptom("clipping", clip_id, f"{found.clipped_share:.1%} of its samples at the peak")
    if found.bandwidth_hz < NARROW_HZ:
        detail = f"nothing above {found.bandwidth_hz / 1000:.1f} kHz; stored at "
        yield Symptom("narrow-band", clip_id, f"{detail}{found.sample_rate_hz / 1000:g} kHz")


def find_duplicates(subject: Subject) -> Iterator[Symptom]:
    """Clips of equal sound. Only those of equal length are read."""
    groups: defaultdict[float, list[int]] = defaultdict(list)
    for index, utterance in enumerate(subject.utterances):
        if utterance.duration_s:
            groups[round(utterance.duration_s, 5)].append(index)
    for indices in groups.values():
        if len(indices) > 1:
            yield from _compare(subject, indices)


def _compare(subject: Subject, indices: Sequence[int]) -> Iterator[Symptom]:
    first: dict[str, int] = {}
    for index in indices:
        try:
            content = subject.content_hash(index)
        except AudioError:  # told elsewhere
            continue
        found = subject.utterances[first.setdefault(content, index)]
        if first[content] != index:
            clip = subject.utterances[index]
            other = "" if clip.text == found.text else ", with another transcript"
            leak = "" if clip.split == found.split else ", in the other split"
            yield Symptom("duplicate-audio", clip.id, f"as {found.id}{other}{leak}")


def _edge_frames(is_loud: Bool[np.ndarray, " frames"]) -> int:
    loud = np.flatnonzero(is_loud)
    return int(max(loud[0], len(is_loud) - 1 - loud[-1]))
