"""Rotary position embedding (Su et al., arXiv 2104.09864), first half paired with second half."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class RotaryTable:
    """Cosines and sines of the angles position · theta^(-2i/E), i < E/2, in float32.

    Attributes:
        cos: (T, E/2).
        sin: (T, E/2).
    """

    cos: Float[Tensor, "T half"]
    sin: Float[Tensor, "T half"]


def rotary_table(positions_T: Int[Tensor, " T"], head_dim: int, theta: float) -> RotaryTable:
    """The table for these positions; computed once per batch and shared by all layers."""
    exponents = torch.arange(0, head_dim, 2, device=positions_T.device, dtype=torch.float32)
    inverse_frequencies = 1.0 / theta ** (exponents / head_dim)
    angles = positions_T.float()[:, None] * inverse_frequencies
    return RotaryTable(cos=angles.cos(), sin=angles.sin())


def rotate(x_BHTE: Float[Tensor, "B H T E"], table: RotaryTable) -> Float[Tensor, "B H T E"]:
    """Rotates each pair (x[i], x[i + E/2]); computed in float32, returned in the type of x."""
    first, second = x_BHTE.float().chunk(2, dim=-1)
    rotated = torch.cat(
        (first * table.cos - second * table.sin, second * table.cos + first * table.sin), dim=-1
    )
    return rotated.to(x_BHTE.dtype)
