"""Script → Waveform."""

from dialoom.generate.precision import Precision
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.synthesizer import Speech, Synthesizer
from dialoom.generate.voice import Voice, VoicePrompt, load_voice, save_voice

__all__ = [
    "Precision",
    "SamplingSettings",
    "Speech",
    "Synthesizer",
    "Voice",
    "VoicePrompt",
    "load_voice",
    "save_voice",
]
