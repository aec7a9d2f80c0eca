"""The frames of an MP3, counted: how long it is, where no header says it.

libsndfile guesses the length of such a file from the bit rate of its first frame. Where the bit
rate varies, it stops in the middle and says nothing. So the file gets the header that it lacks
(Xing's, of which the number of frames is enough), in memory.

Frame headers: ISO/IEC 11172-3, section 2.4.1.3, and 13818-3 for half the rates; a quarter of them
is MPEG 2.5.
"""

import re
from dataclasses import dataclass

_KBPS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISORS = {3: 1, 2: 2, 0: 4}
"""By the two bits of the version: MPEG 1, 2, 2.5."""

_LAYER_3_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_MONO = 3


@dataclass(frozen=True)
class _Frame:
    """What the four bytes of a header say."""

    is_mpeg_1: bool
    rate_hz: int
    is_mono: bool
    num_bytes: int


def _read_frame(data: bytes, position: int) -> _Frame | None:
    """The frame of layer III that begins there; None if none does."""
    if not _LAYER_3_SYNC.match(data, position) or position + 4 > len(data):
        return None
    version = data[position + 1] >> 3 & 3
    rate_index, bit_rate_index = data[position + 2] >> 2 & 3, data[position + 2] >> 4
    if rate_index == 3 or not 0 < bit_rate_index < 15:
        return None
    is_mpeg_1 = version == 3
    rate_hz = _RATES_HZ[rate_index] // _RATE_DIVISORS[version]
    kbps = (_KBPS_MPEG_1 if is_mpeg_1 else _KBPS_MPEG_2)[bit_rate_index]
    num_bytes = (144 if is_mpeg_1 else 72) * 1000 * kbps // rate_hz
    padding = data[position + 2] >> 1 & 1
    is_mono = data[position + 3] >> 6 == _MONO
    return _Frame(is_mpeg_1, rate_hz, is_mono, num_bytes + padding)


def _skip_id3(data: bytes) -> int:
    """Where the sound may begin: after the tags that lead the file."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        sizes = zip(data[position + 6 : position + 10], (21, 14, 7, 0), strict=True)
        position += 10 + sum(byte << shift for byte, shift in sizes)
    return position


def tells_length(data: bytes) -> bool:
    """Whether Xing's header, as LAME writes it, is in the first frame."""
    start = _skip_id3(data)
    head = data[start : start + 200]
    return b"Xing" in head or b"Info" in head


def _find_first(data: bytes, position: int) -> int:
    """The first frame from here on that another follows; the end if there is none."""
    for match in _LAYER_3_SYNC.finditer(data, position):
        frame = _read_frame(data, match.start())
        if frame and _read_frame(data, match.start() + frame.num_bytes):
            return match.start()
    return len(data)


def count_frames(data: bytes) -> int:
    """Whole frames of layer III; what lies between them counts for nothing."""
    count, position = 0, _find_first(data, _skip_id3(data))
    while position < len(data):
        frame = _read_frame(data, position)
        if frame is None:
            position = _find_first(data, position + 1)
            continue
        position += frame.num_bytes
        count += position <= len(data)
    return count


def with_length(data: bytes) -> bytes:
    """The same sound with a header that says how many frames it has.

    What is no sound of layer III comes back as it is.
    """
    start = _find_first(data, _skip_id3(data))
    frame = _read_frame(data, start)
    if frame is None:
        return data
    # no checksum, and the largest bit rate, so that there is room
    header = bytes([0xFF, data[start + 1] | 1, 14 << 4 | data[start + 2] & 0b1100, data[start + 3]])
    side_info = (17 if frame.is_mono else 32) if frame.is_mpeg_1 else (9 if frame.is_mono else 17)
    has_count = (1).to_bytes(4, "big")
    content = header + bytes(side_info) + b"Xing" + has_count
    content += count_frames(data).to_bytes(4, "big")
    whole = _read_frame(header, 0)
    assert whole is not None
    return content.ljust(whole.num_bytes, b"\0") + data[start:]
