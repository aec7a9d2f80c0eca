"""Script → Waveform."""

from dialoom.generate.settings import SamplingSettings
from dialoom.generate.synthesizer import Speech, Synthesizer, VoicePrompt

__all__ = ["SamplingSettings", "Speech", "Synthesizer", "VoicePrompt"]
