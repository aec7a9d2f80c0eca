"""Waveform ↔ Codes. Importing this imports no torch; `load_codec` imports what its codec needs."""

from dialoom.codec.base import Codec, CodecSpec, Codes
from dialoom.codec.load import load_codec

__all__ = ["Codec", "CodecSpec", "Codes", "load_codec"]
