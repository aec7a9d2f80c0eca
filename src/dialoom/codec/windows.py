"""Decoding while the codes still come: window by window, with the overlap that the codec needs.

Each window is decoded together with the frames around it that its samples depend on
(`Codec.reach`), and only its own samples are kept; there is nothing to cross-fade.
"""

import numpy as np
from jaxtyping import UInt16

from dialoom.audio.waveform import Waveform
from dialoom.codec.base import Codec, Codes


class WindowedDecoder:
    """Codes in, in pieces of any length; samples out, those of `Codec.decode` of the whole.

    Frames whose successors are still missing wait inside.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._reach = codec.reach
        self._frames = np.zeros((0, codec.spec.num_codebooks), np.uint16)
        """The frames that wait, with those before them that they depend on."""
        self._num_done = 0
        """Of the frames above: those whose samples are out."""

    @property
    def num_waiting(self) -> int:
        """Frames whose samples are not out yet."""
        return len(self._frames) - self._num_done

    def push(self, codes: Codes) -> Waveform:
        """Takes frames; returns the samples that are certain now, often none.

        Raises:
            CodecError: the codes have another number of codebooks, or ids out of range.
        """
        self._take(codes.frames)
        return self._decode_up_to(len(self._frames) - self._reach.after)

    def finish(self) -> Waveform:
        """The samples of all that waits: nothing comes after it. Then a new clip may begin."""
        waveform = self._decode_up_to(len(self._frames))
        self._frames, self._num_done = self._frames[:0], 0
        return waveform

    def _take(self, frames: UInt16[np.ndarray, "F C"]) -> None:
        if frames.shape[1] != self._frames.shape[1]:
            self._codec.decode(Codes(frames))  # refuses them in its own words
        self._frames = np.concatenate((self._frames, frames))

    def _decode_up_to(self, end: int) -> Waveform:
        """The samples of the frames that are not out yet, up to `end`."""
        spec = self._codec.spec
        if end <= self._num_done:
            return Waveform(np.zeros(0, np.float32), spec.sample_rate_hz)
        samples = self._codec.decode(Codes(self._frames)).samples
        wanted = samples[self._num_done * spec.hop_length : end * spec.hop_length]
        kept = 0 if self._reach.before is None else max(0, end - self._reach.before)
        self._frames, self._num_done = self._frames[kept:], end - kept
        return Waveform(wanted, spec.sample_rate_hz)
