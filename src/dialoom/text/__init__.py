"""Script ↔ bytes."""

from dialoom.text.tags import FREE_BYTES, PAD_BYTE, TagTable

__all__ = ["FREE_BYTES", "PAD_BYTE", "TagTable"]
