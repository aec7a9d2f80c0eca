"""Script ↔ bytes."""

from dialoom.text.nonverbals import BRACKETS, NONVERBALS, Nonverbals, count_nonverbals
from dialoom.text.script import (
    FIRST_SPEAKER,
    SPEAKER_TAG,
    Turn,
    add_ending_tag,
    join_scripts,
    prepare_text,
    split_turns,
    spoken_bytes,
)
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
    "Turn",
    "add_ending_tag",
    "count_nonverbals",
    "join_scripts",
    "prepare_text",
    "split_turns",
    "spoken_bytes",
]
