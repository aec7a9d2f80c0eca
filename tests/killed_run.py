"""A run of `prepare` in a process of its own, which a test may shoot."""

import hashlib
import time
from pathlib import Path

from fake_audio import FakeCodec

from dialoom.audio import Waveform
from dialoom.codec import Codes
from dialoom.data import preparation, prepare

CLIPS_PER_SHARD = 4
SECONDS_PER_CLIP = 0.02


class _NotingCodec(FakeCodec):
    """Notes what it encodes in a file, a line a clip, and takes its time."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self._notes = notes

    def encode(self, waveform: Waveform) -> Codes:
        time.sleep(SECONDS_PER_CLIP)
        codes = super().encode(waveform)
        with self._notes.open("a") as file:
            file.write(f"{codes_hash(codes)}\n")
        return codes


def codes_hash(codes: Codes) -> str:
    return hashlib.sha256(codes.frames.tobytes()).hexdigest()


def run(source: str, out: str, notes: str) -> None:
    preparation.CLIPS_PER_SHARD = CLIPS_PER_SHARD
    prepare(source, out, codec=_NotingCodec(Path(notes)))
