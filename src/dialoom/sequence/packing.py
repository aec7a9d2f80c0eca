"""Packed rows: the sequences of a batch one behind the other, without padding between them.

A packed batch has one row (B = 1). Whatever works on each place alone, such as linear maps, norms
and the head, needs to know nothing of it; attention and RoPE need to know where a sequence starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int32, Int64
from torch import Tensor


def move(tensor: Tensor, device: torch.device | str) -> Tensor:
    """To a device without waiting: to a GPU that needs pages which the system cannot swap."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@dataclass(frozen=True)
class Spans:
    """Where the sequences of one packed row lie.

    Attributes:
        lengths: of each sequence; on the host, so that asking waits for no device.
        max_length: largest of them; kept, so that compiled code depends on no other length.
        starts: first place of each sequence, and the end of the last: what kernels call cu_seqlens.
        positions_T: of every place in its own sequence, from 0.
    """

    lengths: tuple[int, ...]
    max_length: int
    starts: Int32[Tensor, " starts"]
    positions_T: Int64[Tensor, " T"]

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Spans":
        """The spans of sequences of these lengths."""
        ends = torch.tensor([0, *lengths]).cumsum(0)
        return cls(
            lengths=tuple(lengths),
            max_length=max(lengths),
            starts=ends.int(),
            positions_T=torch.cat([torch.arange(length) for length in lengths]),
        )

    def to(self, device: torch.device | str) -> "Spans":
        """The same spans on another device."""
        return replace(
            self,
            starts=move(self.starts, device),
            positions_T=move(self.positions_T, device),
        )


@dataclass(frozen=True)
class Packing:
    """Both rows of a packed batch.

    Attributes:
        text: spans of the bytes.
        audio: spans of the decoder's inputs, clip by clip as the text.
    """

    text: Spans
    audio: Spans

    def to(self, device: torch.device | str) -> "Packing":
        """The same packing on another device."""
        return Packing(self.text.to(device), self.audio.to(device))
