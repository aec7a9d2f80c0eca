"""The seam between sound and tokens: what a codec promises, and the codes it makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt16

from dialoom.audio.waveform import Waveform


@dataclass(frozen=True)
class CodecSpec:
    """What a corpus and a model must know of the codec that made their codes.

    Attributes:
        name: what `load_codec` takes, e.g. "mini", "descript/dac_44khz".
        content_hash: sha256 of the weights, hex; two codecs with equal hashes make equal codes.
        sample_rate_hz: rate of the audio that goes in and comes out.
        hop_length: samples per frame.
        num_codebooks: channels per frame.
        codebook_size: ids per channel; codes are 0 … codebook_size - 1.
    """

    name: str
    content_hash: str
    sample_rate_hz: int
    hop_length: int
    num_codebooks: int
    codebook_size: int

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate_hz / self.hop_length


@dataclass(frozen=True)
class Codes:
    """The frames of one clip.

    Attributes:
        frames: (F, C) uint16, frame-major.
    """

    frames: UInt16[np.ndarray, "F C"]

    @property
    def num_frames(self) -> int:
        return int(self.frames.shape[0])

    @property
    def num_codebooks(self) -> int:
        return int(self.frames.shape[1])


@dataclass(frozen=True)
class DecoderReach:
    """Which frames the samples of a frame depend on, so that a window can be decoded by itself.

    Attributes:
        before: frames before it; None for all of them.
        after: frames after it.
    """

    before: int | None
    after: int


@runtime_checkable
class Codec(Protocol):
    """Waveform ↔ Codes. `encode` resamples what it is given; `decode` returns the codec's rate."""

    @property
    def spec(self) -> CodecSpec: ...

    @property
    def reach(self) -> DecoderReach:
        """Of `decode`: with these frames around it, a window sounds as in the whole to -60 dB."""
        ...

    def encode(self, waveform: Waveform) -> Codes:
        """N samples at the codec's rate become ceil(N / hop_length) frames.

        Raises:
            AudioError: the waveform is empty.
        """
        ...

    def decode(self, codes: Codes) -> Waveform:
        """F frames become F · hop_length samples.

        Raises:
            CodecError: the codes have another number of codebooks, or ids out of range.
        """
        ...

    def decode_many(self, clips: Sequence[Codes]) -> list[Waveform]:
        """`decode` of each clip, in their order, in less time where the codec knows how."""
        return [self.decode(codes) for codes in clips]
