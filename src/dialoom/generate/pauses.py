"""Long pauses where two parts of a long text meet are shortened, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

SILENT_PEAK = 0.01
"""-40 dBFS: a frame whose samples stay below it is part of a pause. Speech peaks above."""


@dataclass
class PauseGate:
    """Frames of sound in, frames of sound out: a pause with a join in it lasts `most` frames.

    A pause that is longer loses its middle; one frame, in which what was before fades into what
    comes after, takes its place, so nothing clicks. Pauses within a part stay as they are. All
    frames are counted from the first that came in.

    Attributes:
        hop_length: samples per frame.
        most: frames of the longest pause at a join.
        kept: which frames came out.
        sounding: which of these are no pause.
    """

    hop_length: int
    most: int
    kept: list[int] = field(default_factory=list)
    sounding: list[int] = field(default_factory=list)
    _num_seen: int = 0
    _joins: list[int] = field(default_factory=list)
    _pause: int = 0
    """Frames of the present pause that came out."""
    _at_join: bool = False
    """There was a join in the present pause."""
    _held: list[tuple[int, Float32[np.ndarray, " N"]]] = field(default_factory=list)
    """Frames of the present pause that are too many at a join."""

    def join(self, frame: int) -> None:
        """A part ends before this frame, which has not come in yet."""
        self._joins.append(frame)

    def push(self, samples: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, " M"]:
        """Takes whole frames; returns those that are certain now."""
        hops = samples.reshape(-1, self.hop_length)
        out = [piece for hop in hops for piece in self._take(hop)]
        return np.concatenate(out) if out else samples[:0]

    def _take(self, hop: Float32[np.ndarray, " N"]) -> Iterator[Float32[np.ndarray, " N"]]:
        frame = self._num_seen
        self._num_seen += 1
        if frame in self._joins:
            self._at_join = True
        if np.abs(hop).max() >= SILENT_PEAK:
            yield from self._release()
            self.kept.append(frame)
            self.sounding.append(frame)
            yield hop
        elif self._pause < self.most - 1:
            self._pause += 1
            self.kept.append(frame)
            yield hop
        else:
            self._held.append((frame, hop))
            if self._at_join:
                self._held = [self._held[0], self._held[-1]]

    def _release(self) -> Iterator[Float32[np.ndarray, " N"]]:
        """The pause is over."""
        held, self._held = self._held, []
        if held and self._at_join:
            fade = np.linspace(0, 1, self.hop_length, dtype=np.float32)
            held = [(held[-1][0], (1 - fade) * held[0][1] + fade * held[-1][1])]
        self._pause, self._at_join = 0, False
        for frame, hop in held:
            self.kept.append(frame)
            yield hop
