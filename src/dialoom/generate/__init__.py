"""Script → Waveform."""

from dialoom.generate.precision import Precision
from dialoom.generate.settings import SamplingSettings
from dialoom.generate.synthesizer import Speech, Synthesizer, VoicePrompt

__all__ = ["Precision", "SamplingSettings", "Speech", "Synthesizer", "VoicePrompt"]
