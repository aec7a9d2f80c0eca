"""Script ↔ bytes."""

from dialoom.text.script import prepare_text
from dialoom.text.tags import FREE_BYTES, PAD_BYTE, TagTable

__all__ = ["FREE_BYTES", "PAD_BYTE", "TagTable", "prepare_text"]
