"""What a residual quantizer needs only while it learns: k-means and moving averages."""

import torch
from jaxtyping import Float
from torch import Tensor

from dialoom.codec.mini_network import ResidualQuantizer

DECAY = 0.99
DEAD_BELOW = 0.05
"""Mean uses per step under which a vector is replaced; an even share is about 1.4."""


class CodebookAverages:
    """Codebooks as moving averages of the residuals that choose them (VQ-VAE, arXiv 1711.00937).

    Vectors that hardly anything chooses move to residuals of the batch (Jukebox, arXiv 2005.00341).
    """

    def __init__(self, quantizer: ResidualQuantizer) -> None:
        self.quantizer = quantizer
        self.counts = torch.ones(quantizer.codebooks.shape[:2], device=quantizer.codebooks.device)
        self.sums = quantizer.codebooks.clone()

    @torch.no_grad()
    def initialise(self, latents: Float[Tensor, "frames L"], iterations: int = 20) -> None:
        """k-means of every stage on what the stages before it leave over."""
        residual = latents
        for index, vectors in enumerate(self.quantizer.codebooks):
            vectors.copy_(residual[torch.randperm(len(residual))[: len(vectors)]])
            for _ in range(iterations):
                ids = self.quantizer.nearest(residual, index)
                counts = torch.bincount(ids, minlength=len(vectors)).float()
                sums = torch.zeros_like(vectors).index_add_(0, ids, residual)
                used = counts > 0
                vectors[used] = sums[used] / counts[used, None]
                spare = residual[torch.randperm(len(residual))[: int((~used).sum())]]
                vectors[~used] = spare
            self.counts[index] = counts.clamp(min=1.0) * (1408 / len(residual))
            self.sums[index] = vectors * self.counts[index, :, None]
            residual = residual - vectors[self.quantizer.nearest(residual, index)]

    @torch.no_grad()
    def quantize(
        self, latents: Float[Tensor, "B F L"], *, learn: bool
    ) -> tuple[Float[Tensor, "B F C L"], Tensor]:
        """Running sums after each codebook, and the ids; moves the codebooks when it may learn."""
        residual, partial, ids = latents.flatten(0, 1), [], []
        for index in range(len(self.quantizer.codebooks)):
            chosen = self.quantizer.nearest(residual, index)
            vectors = self.quantizer.codebooks[index][chosen]
            if learn:
                self._move(index, residual, chosen)
            residual = residual - vectors
            partial.append(latents - residual.view_as(latents))
            ids.append(chosen.view(latents.shape[:2]))
        return torch.stack(partial, dim=2), torch.stack(ids, dim=-1)

    def _move(self, index: int, residual: Tensor, chosen: Tensor) -> None:
        counts, sums = self.counts[index], self.sums[index]
        new_counts = torch.bincount(chosen, minlength=len(counts)).float()
        new_sums = torch.zeros_like(sums).index_add_(0, chosen, residual)
        counts.mul_(DECAY).add_(new_counts, alpha=1 - DECAY)
        sums.mul_(DECAY).add_(new_sums, alpha=1 - DECAY)
        dead = counts < DEAD_BELOW
        if dead.any():
            picks = torch.randint(len(residual), (int(dead.sum()),), device=residual.device)
            counts[dead], sums[dead] = 0.3, 0.3 * residual[picks]
        self.quantizer.codebooks[index] = sums / counts[:, None]

    def state_dict(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.counts.copy_(state["counts"])
        self.sums.copy_(state["sums"])
