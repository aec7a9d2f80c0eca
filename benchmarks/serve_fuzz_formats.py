"""What schemathesis puts where random bytes would never get far: scripts and recordings.

Read by schemathesis itself (SCHEMATHESIS_HOOKS); serve_fuzz.py names the formats in the schema.
"""

import io

import numpy as np
import schemathesis
import soundfile
from hypothesis import strategies as st

RATE_HZ = 16_000

WORDS = ("Hello", "und", "你好", "(laughs)", "[S1]", "[S2]", "[S9]", "\u202e", ".", "?", "…", "🎈")
NAMES = ("default", "anna", "../anna", "/etc/passwd", "anna\x00", "..\\anna", "%2e%2e%2fanna")


def _recording(container: str, subtype: str | None, channels: int) -> bytes:
    time_s = np.arange(RATE_HZ * 2) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 220 * time_s) * (1 + np.sin(9 * time_s))
    file = io.BytesIO()
    soundfile.write(
        file, np.stack([tone] * channels, 1), RATE_HZ, format=container, subtype=subtype
    )
    return file.getvalue()


KINDS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None))
RECORDINGS = [_recording(*kind, channels) for kind in KINDS for channels in (1, 2)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A recording with a few bytes changed, and sometimes without its end."""
    data = bytearray(draw(st.sampled_from(RECORDINGS)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, 200))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data)


scripts = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=40).map(" ".join)

schemathesis.openapi.format("binary", st.sampled_from(RECORDINGS) | damaged() | st.binary())
schemathesis.openapi.format("script", scripts | st.text(max_size=300))
schemathesis.openapi.format("voice", st.sampled_from(NAMES) | st.text(max_size=20))
