"""Script ↔ bytes."""

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
    "FIRST_SPEAKER",
    "FREE_BYTES",
    "PAD_BYTE",
    "SPEAKER_TAG",
    "TagTable",
    "Turn",
    "add_ending_tag",
    "join_scripts",
    "prepare_text",
    "split_turns",
    "spoken_bytes",
]
