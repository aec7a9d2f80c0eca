"""Does a recording have its end? libsndfile reads many files that were cut as if they were whole.

A clip whose recording was cut by a broken copy has a transcript that goes on: it would teach the
model to stop in the middle.
"""

import os
import struct
from io import BufferedIOBase

STREAMED_SIZE = 0x7FFF_F000
"""Sizes from here on, and 0, are written where the length was not known yet: into a pipe."""

MAX_PAGE_BYTES = 65_307
LAST_PAGE_FLAG = 4


def is_cut(file: BufferedIOBase, format: str) -> bool:
    """Whether the container itself says that its end is missing; its position may change.

    Args:
        file: the whole file.
        format: libsndfile's name of the format. Of others than WAV and Ogg nothing is known here:
            their decoder knows how many samples there should be.
    """
    if format in ("WAV", "WAVEX"):
        return _is_wav_cut(file)
    return format == "OGG" and _is_ogg_cut(file)


def _is_wav_cut(file: BufferedIOBase) -> bool:
    """Chunks: four letters, a size, content, filled up to an even number of bytes."""
    num_bytes = file.seek(0, os.SEEK_END)
    position = 12
    while position + 8 <= num_bytes:
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return bool(0 < size < STREAMED_SIZE and position + 8 + size > num_bytes)
        position += 8 + size + size % 2
    return False


def _is_ogg_cut(file: BufferedIOBase) -> bool:
    """The last page is marked and whole (RFC 3533, section 6)."""
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, num_bytes - 2 * MAX_PAGE_BYTES))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    if start < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return True
    body = sum(page[27 : 27 + page[26]])
    return not page[5] & LAST_PAGE_FLAG or len(page) < 27 + page[26] + body
