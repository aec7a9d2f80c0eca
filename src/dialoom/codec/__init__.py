"""Waveform ↔ Codes. Importing this imports no torch; `load_codec` imports what its codec needs."""

from dialoom.codec.base import Codec, CodecSpec, Codes, DecoderReach
from dialoom.codec.load import load_codec
from dialoom.codec.windows import WindowedDecoder

__all__ = ["Codec", "CodecSpec", "Codes", "DecoderReach", "WindowedDecoder", "load_codec"]
