"""Script ↔ bytes."""

from dialoom.text.nonverbals import BRACKETS, NONVERBALS, Nonverbals, count_nonverbals
from dialoom.text.script import FIRST_SPEAKER, SPEAKER_TAG, prepare_text
from dialoom.text.tags import FREE_BYTES, PAD_BYTE, TagTable

__all__ = [
    "BRACKETS",
    "FIRST_SPEAKER",
    "FREE_BYTES",
    "NONVERBALS",
    "PAD_BYTE",
    "SPEAKER_TAG",
    "Nonverbals",
    "TagTable",
    "count_nonverbals",
    "prepare_text",
]
