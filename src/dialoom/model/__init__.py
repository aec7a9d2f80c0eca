"""Batch → logits. Mathematics only: no devices, ranks or files."""

from dialoom.model.config import PRESETS, DecoderConfig, DiaConfig, EncoderConfig, Revision
from dialoom.model.dia import DiaModel
from dialoom.model.initialize import initialize

__all__ = [
    "PRESETS",
    "DecoderConfig",
    "DiaConfig",
    "DiaModel",
    "EncoderConfig",
    "Revision",
    "initialize",
]
