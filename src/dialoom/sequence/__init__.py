"""Frames ↔ decoder steps. Pure functions."""

from dialoom.sequence.delay import (
    apply_audio_delay,
    build_delay_indices,
    build_revert_indices,
    delay_codes,
    revert_audio_delay,
    undelay_codes,
)
from dialoom.sequence.layout import DIA_DELAY_PATTERN, IGNORE_INDEX, TokenLayout, layout_for
from dialoom.sequence.masks import cross_mask, decoder_self_mask, encoder_self_mask
from dialoom.sequence.packing import Packing, Spans, move

__all__ = [
    "DIA_DELAY_PATTERN",
    "IGNORE_INDEX",
    "Packing",
    "Spans",
    "TokenLayout",
    "apply_audio_delay",
    "build_delay_indices",
    "build_revert_indices",
    "cross_mask",
    "decoder_self_mask",
    "delay_codes",
    "encoder_self_mask",
    "layout_for",
    "move",
    "revert_audio_delay",
    "undelay_codes",
]
