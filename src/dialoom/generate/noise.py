"""The random numbers of a batch: each row's own, whatever stands beside it."""

from collections.abc import Sequence
from copy import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dialoom.generate.sampling import gumbel_noise

BLOCK_STEPS = 32
"""Steps drawn at once; part of what a seed means: another number gives other speech."""


class Noise:
    """Noise for rows with the same number of kept ids, drawn on the host, so alike everywhere.

    Step t of a row is step t after its prompt. Its noise hangs on the row's seed and t alone.
    """

    def __init__(
        self, seeds: Sequence[int], num_channels: int, num_kept: int, device: torch.device
    ) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape = (BLOCK_STEPS, num_channels, num_kept)
        self._block = torch.zeros(len(seeds), *self._shape, device=device)

    def prepare(self, step: int) -> None:
        """To be called before every step: draws the next block where one begins."""
        if step % BLOCK_STEPS == 0:
            blocks = [gumbel_noise(self._shape, generator) for generator in self._generators]
            self._block.copy_(torch.stack(blocks))

    def at(self, step_1: Int[Tensor, "1"]) -> Float[Tensor, "B C K"]:
        """That step's; the number of the step lies on the device."""
        return self._block.index_select(1, step_1 % BLOCK_STEPS).squeeze(1)

    def keep(self, rows: Sequence[int]) -> "Noise":
        """Only these rows."""
        kept = copy(self)
        kept._generators = [self._generators[row] for row in rows]
        kept._block = self._block[torch.tensor(rows, device=self._block.device)]
        return kept
