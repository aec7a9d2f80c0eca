"""Recordings made by arithmetic, and a codec that needs no weights."""

from pathlib import Path

import numpy as np
import soundfile

from dialoom.audio import Waveform, resample
from dialoom.codec import Codec, CodecSpec, Codes, DecoderReach

FAKE_SPEC = CodecSpec(
    name="fake",
    content_hash="f" * 64,
    sample_rate_hz=16_000,
    hop_length=320,
    num_codebooks=3,
    codebook_size=16,
)


def tone(
    duration_s: float,
    *,
    sample_rate_hz: int = 16_000,
    frequency_hz: float = 220.0,
    peak: float = 0.5,
) -> Waveform:
    times_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    samples = peak * np.sin(2 * np.pi * frequency_hz * times_s)
    return Waveform(samples.astype(np.float32), sample_rate_hz)


def write_tone(path: Path, duration_s: float = 0.2, **kwargs: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = tone(duration_s, **kwargs)
    soundfile.write(path, waveform.samples, waveform.sample_rate_hz)
    return path


class FakeCodec(Codec):
    """Codes are digits of each frame's energy; counts the clips it has encoded."""

    def __init__(self, spec: CodecSpec = FAKE_SPEC) -> None:
        self._spec = spec
        self.num_encoded = 0

    @property
    def spec(self) -> CodecSpec:
        return self._spec

    @property
    def reach(self) -> DecoderReach:
        return DecoderReach(before=0, after=0)

    def encode(self, waveform: Waveform) -> Codes:
        self.num_encoded += 1
        samples = resample(waveform, self.spec.sample_rate_hz).samples
        padded = np.pad(samples, (0, -samples.size % self.spec.hop_length))
        energy = np.abs(padded.reshape(-1, self.spec.hop_length)).sum(axis=1)
        digits = energy[:, None] * np.array([1.0, 7.0, 31.0])
        return Codes((digits.astype(np.int64) % self.spec.codebook_size).astype(np.uint16))

    def decode(self, codes: Codes) -> Waveform:
        raise NotImplementedError
