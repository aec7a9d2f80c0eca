"""Recordings and transcripts as they come out of broken disks, copies and exports."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from fake_speech import fake_sentence

Outcome = Literal["rejected", "accepted", "either"]

ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


@dataclass(frozen=True)
class Damaged:
    """One clip of a folder: the bytes of its recording and of its transcript."""

    suffix: str
    audio: bytes
    outcome: Outcome
    text: bytes = b"some text"
    transcript_suffix: str = ".txt"
    num_bytes: int | None = None  # the file is filled up to it, without taking room on the disk


@lru_cache
def sound(suffix: str, seed: int = 0) -> bytes:
    speech = fake_sentence(seed, num_sounds=12)
    return _encode(speech.samples, speech.sample_rate_hz, suffix)


def _encode(samples: np.ndarray, rate_hz: int, suffix: str, subtype: str = "") -> bytes:
    file = io.BytesIO()
    format, usual = ENCODINGS[suffix]
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype or usual)
    return file.getvalue()


def _suffix(rng: np.random.Generator) -> str:
    return str(rng.choice(list(ENCODINGS)))


def _truncated(rng: np.random.Generator) -> Damaged:
    suffix = _suffix(rng)
    whole = sound(suffix)
    return Damaged(suffix, whole[: int(len(whole) * rng.uniform(0.03, 0.85))], "rejected")


def _empty(rng: np.random.Generator) -> Damaged:
    return Damaged(_suffix(rng), b"", "rejected")


def _zeros(rng: np.random.Generator) -> Damaged:
    return Damaged(_suffix(rng), bytes(int(rng.integers(1, 100_000))), "rejected")


def _noise(rng: np.random.Generator) -> Damaged:
    suffix = str(rng.choice([".wav", ".flac", ".ogg", ".opus"]))
    return Damaged(suffix, rng.bytes(int(rng.integers(1, 50_000))), "rejected")


def _noise_as_mp3(rng: np.random.Generator) -> Damaged:
    """An MP3 has no header, so any bytes may hold something like its frames."""
    return Damaged(".mp3", rng.bytes(int(rng.integers(1, 50_000))), "either")


def _wrong_header(rng: np.random.Generator) -> Damaged:
    suffix = str(rng.choice([".wav", ".flac", ".ogg", ".opus"]))
    return Damaged(suffix, rng.bytes(48) + sound(suffix)[48:], "rejected")


def _scratched_header(rng: np.random.Generator) -> Damaged:
    suffix = _suffix(rng)
    content = bytearray(sound(suffix))
    for position in rng.integers(4, 80, 3):
        content[position] = int(rng.integers(256))
    return Damaged(suffix, bytes(content), "either")


def _scratched(rng: np.random.Generator) -> Damaged:
    suffix = _suffix(rng)
    content = bytearray(sound(suffix))
    for position in rng.integers(0, len(content), len(content) // 200 + 1):
        content[position] = int(rng.integers(256))
    return Damaged(suffix, bytes(content), "either")


def _not_finite(rng: np.random.Generator) -> Damaged:
    samples = fake_sentence(1).samples.copy()
    samples[rng.integers(0, len(samples), 3)] = rng.choice([np.nan, np.inf, -np.inf])
    return Damaged(".wav", _encode(samples, 16_000, ".wav", "FLOAT"), "rejected")


def _one_sample(rng: np.random.Generator) -> Damaged:
    samples = np.full(1, 0.5, np.float32)
    return Damaged(".wav", _encode(samples, 16_000, ".wav"), "rejected")


def _silent(rng: np.random.Generator) -> Damaged:
    samples = rng.uniform(-5e-4, 5e-4, 16_000).astype(np.float32)
    return Damaged(".flac", _encode(samples, 16_000, ".flac"), "rejected")


def _two_hours(rng: np.random.Generator) -> Damaged:
    """A speech, and 2 h of the room afterwards."""
    rate_hz = int(rng.choice([8_000, 44_100]))
    num_bytes = 2 * 3600 * rate_hz * 2
    content = bytearray(sound(".wav"))
    content[4:8] = struct.pack("<I", num_bytes - 8)
    content[24:32] = struct.pack("<II", rate_hz, 2 * rate_hz)
    content[40:44] = struct.pack("<I", num_bytes - 44)
    return Damaged(".wav", bytes(content), "rejected", num_bytes=num_bytes)


def _impossible_rate(rng: np.random.Generator) -> Damaged:
    content = bytearray(sound(".wav"))
    content[24:28] = struct.pack("<I", int(rng.choice([0, 1, 4_000, 192_000, 2**32 - 1])))
    return Damaged(".wav", bytes(content), "rejected")


def _many_channels(rng: np.random.Generator) -> Damaged:
    content = bytearray(sound(".wav"))
    content[22:24] = struct.pack("<H", int(rng.choice([0, 33, 1_000, 65_535])))
    return Damaged(".wav", bytes(content), "rejected")


def _web_page(rng: np.random.Generator) -> Damaged:
    page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20
    return Damaged(_suffix(rng), page, "rejected")


def _text(outcome: Outcome, *texts: str | bytes) -> Callable[[np.random.Generator], Damaged]:
    def make(rng: np.random.Generator) -> Damaged:
        suffix = _suffix(rng)
        text = texts[int(rng.integers(len(texts)))]
        content = text if isinstance(text, bytes) else text.encode()
        return Damaged(suffix, sound(suffix), outcome, text=content)

    return make


def _half_a_pair(rng: np.random.Generator) -> Damaged:
    field = str(rng.choice(["text", "speaker", "id", "language"]))
    record = b'{"text": "some text", "%b": "half \\ud800"}' % field.encode()
    return Damaged(".wav", sound(".wav"), "rejected", text=record, transcript_suffix=".json")


KINDS: dict[str, Callable[[np.random.Generator], Damaged]] = {
    "truncated": _truncated,
    "empty": _empty,
    "zeros": _zeros,
    "noise": _noise,
    "noise-as-mp3": _noise_as_mp3,
    "wrong-header": _wrong_header,
    "scratched-header": _scratched_header,
    "scratched": _scratched,
    "not-finite": _not_finite,
    "one-sample": _one_sample,
    "silent": _silent,
    "two-hours": _two_hours,
    "impossible-rate": _impossible_rate,
    "many-channels": _many_channels,
    "web-page": _web_page,
    "half-a-pair": _half_a_pair,
    "control-bytes": _text("rejected", b"beep \x07", b"nul \x00 nul", b"\x1b[31mred", b"[S1] \x01"),
    "long-text": _text("rejected", "word " * 1000, "é" * 5000),
    "no-text": _text("rejected", b"", b" \n\t ", "\u3000\u2003".encode()),
    "no-utf8": _text("rejected", b"caf\xe9", b"\xff\xfeh\x00i\x00"),
    "right-to-left": _text("accepted", "שלום עולם", "مرحبا بالعالم", "\u202eabc\u202c"),
    "emoji": _text("accepted", "👍🏽 fine 👩‍👩‍👧", "🇩🇪", "e\u0301\u0302\u0303"),
}


def write_damaged(folder: Path, number: int, seed: int = 0) -> dict[str, Outcome]:
    """So many clips of all kinds in turn; the name of each, and what must become of it."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    for index in range(number):
        kind, make = list(KINDS.items())[index % len(KINDS)]
        made = make(rng)
        path = folder / f"{index:03d}-{kind}{made.suffix}"
        path.write_bytes(made.audio)
        if made.num_bytes is not None:
            with path.open("rb+") as file:
                file.truncate(made.num_bytes)
        path.with_suffix(made.transcript_suffix).write_bytes(made.text)
        outcomes[path.name] = made.outcome
    return outcomes
