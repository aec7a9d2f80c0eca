"""Files ↔ Waveform: reading, down-mix, resampling, loudness, silence, writing."""

from dialoom.audio.loudness import loudness_lufs, normalize_loudness
from dialoom.audio.mono import read_mono
from dialoom.audio.read import (
    AUDIO_SUFFIXES,
    MAX_SAMPLE_RATE_HZ,
    MIN_SAMPLE_RATE_HZ,
    SILENCE_PEAK,
    AudioFileError,
    Segment,
    check_writable,
    read_audio,
    read_audio_bytes,
    write_audio,
)
from dialoom.audio.resample import RESAMPLER, resample
from dialoom.audio.silence import trim_edges
from dialoom.audio.waveform import Waveform

__all__ = [
    "AUDIO_SUFFIXES",
    "MAX_SAMPLE_RATE_HZ",
    "MIN_SAMPLE_RATE_HZ",
    "RESAMPLER",
    "SILENCE_PEAK",
    "AudioFileError",
    "Segment",
    "Waveform",
    "check_writable",
    "loudness_lufs",
    "normalize_loudness",
    "read_audio",
    "read_audio_bytes",
    "read_mono",
    "resample",
    "trim_edges",
    "write_audio",
]
