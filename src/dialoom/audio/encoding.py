"""Speech → bytes of a file or a stream, in the formats that OpenAI's API names."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

PCM_RATE_HZ = 24_000
"""OpenAI's `pcm` is 24 kHz, 16 bits, little endian, mono, without a header."""

OPUS_RATE_HZ = 48_000
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)

UNKNOWN_SIZE = 0xFFFFFFFF
"""What a streamed WAV says of its length."""


@dataclass(frozen=True)
class AudioFormat:
    """A format.

    Attributes:
        media_type: of the answer.
        container: libsndfile's name; None for samples alone.
        subtype: libsndfile's name of what is in it.
        is_streamed: by itself; others only when asked, because their header tells the length.
    """

    media_type: str
    container: str | None
    subtype: str | None
    is_streamed: bool


FORMATS: Mapping[str, AudioFormat] = {
    "mp3": AudioFormat("audio/mpeg", "MP3", None, is_streamed=True),
    "opus": AudioFormat("audio/ogg", "OGG", "OPUS", is_streamed=True),
    "flac": AudioFormat("audio/flac", "FLAC", "PCM_16", is_streamed=False),
    "wav": AudioFormat("audio/wav", "WAV", "PCM_16", is_streamed=False),
    "pcm": AudioFormat("audio/pcm", None, None, is_streamed=True),
}


@runtime_checkable
class Encoder(Protocol):
    """Samples in; bytes out, as soon as they are certain."""

    def push(self, samples: Float32[np.ndarray, " N"]) -> bytes: ...

    def finish(self) -> bytes: ...


def open_encoder(format: str, rate_hz: int, *, streamed: bool) -> Encoder:
    """An encoder for sound of a rate.

    Args:
        format: a key of FORMATS.
        rate_hz: of the sound; `pcm` and `opus` resample it to a rate of theirs.
        streamed: hand out bytes before the end; headers then do not tell the length.
    """
    wanted_hz = output_rate_hz(format, rate_hz)
    chosen = FORMATS[format]
    if chosen.container is None or (format == "wav" and streamed):
        encoder: Encoder = _PcmEncoder(b"" if format == "pcm" else _wav_header(wanted_hz))
    else:
        encoder = _FileEncoder(chosen, wanted_hz, streamed=streamed)
    return encoder if wanted_hz == rate_hz else _Resampled(encoder, rate_hz, wanted_hz)


def output_rate_hz(format: str, rate_hz: int) -> int:
    """The rate that sound of a rate has in a format."""
    if format == "pcm":
        return PCM_RATE_HZ
    if format == "opus" and rate_hz not in OPUS_RATES_HZ:
        return OPUS_RATE_HZ
    return rate_hz


class _PcmEncoder:
    def __init__(self, header: bytes) -> None:
        self._header = header

    def push(self, samples: Float32[np.ndarray, " N"]) -> bytes:
        header, self._header = self._header, b""
        integers = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
        return header + bytes(integers.data)

    def finish(self) -> bytes:
        return b""


class _FileEncoder:
    """Through libsndfile into memory. What it rewrites at the end of a stream stays as it was."""

    def __init__(self, format: AudioFormat, rate_hz: int, *, streamed: bool) -> None:
        self._memory, self._num_sent, self._streamed = io.BytesIO(), 0, streamed
        self._file = soundfile.SoundFile(
            self._memory,
            "w",
            samplerate=rate_hz,
            channels=1,
            format=format.container,
            subtype=format.subtype,
        )

    def push(self, samples: Float32[np.ndarray, " N"]) -> bytes:
        self._file.write(np.clip(samples, -1, 1))
        return self._unsent() if self._streamed else b""

    def finish(self) -> bytes:
        self._file.close()
        return self._unsent()

    def _unsent(self) -> bytes:
        place = self._memory.tell()
        self._memory.seek(self._num_sent)
        unsent = self._memory.read()
        self._num_sent += len(unsent)
        self._memory.seek(place)
        return unsent


class _Resampled:
    def __init__(self, encoder: Encoder, rate_hz: int, wanted_hz: int) -> None:
        self._encoder = encoder
        self._stream = soxr.ResampleStream(rate_hz, wanted_hz, 1, dtype="float32")

    def push(self, samples: Float32[np.ndarray, " N"]) -> bytes:
        return self._encoder.push(self._stream.resample_chunk(samples))

    def finish(self) -> bytes:
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return self._encoder.push(rest) + self._encoder.finish()


def _wav_header(rate_hz: int) -> bytes:
    """Of 16-bit mono, of unknown length (RIFF WAVE, as players read it from pipes)."""
    size = UNKNOWN_SIZE.to_bytes(4, "little")
    facts = (1).to_bytes(2, "little") * 2 + rate_hz.to_bytes(4, "little")
    facts += (2 * rate_hz).to_bytes(4, "little") + b"\x02\x00\x10\x00"
    return b"RIFF" + size + b"WAVEfmt \x10\x00\x00\x00" + facts + b"data" + size
