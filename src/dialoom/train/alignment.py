"""Guided attention: a nudge for models from nothing, who must find out where in the text they are.

Text and speech run in the same direction at nearly the same pace, so attention far from the
diagonal is wrong. The penalty of Tachibana, Uenoyama and Aihara (arXiv 1710.08969) says so to some
heads of the cross-attention: Σ_s A[t, s] · (1 - exp(-(s/S - t/F)² / 2g²)). A base that speaks needs
none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dialoom.data import Batch
from dialoom.model import DiaModel
from dialoom.model.attention import ATTENTION_SCALE, CrossAttention, KeyValues
from dialoom.model.rope import RotaryTable

DIAGONAL_WIDTH = 0.1
"""g: how far from the diagonal attention may stray, as a share of the clip."""


class AlignmentGuide:
    """Watches the cross-attention of the two middle layers; half of their heads is guided.

    The others stay free to look where they like.
    """

    def __init__(self, model: DiaModel, *, weight: float) -> None:
        """Takes the model to guide, and nats per step that attention all astray costs."""
        layers = [m for m in model.decoder.modules() if isinstance(m, CrossAttention)]
        middle = len(layers) // 2
        self.watched = layers[max(0, middle - 1) : middle + 1]
        self._weight = weight
        self._max_delay = model.config.layout.max_delay
        self._penalties: list[Tensor] = []

    @contextmanager
    def watch(self, batch: Batch) -> Iterator[None]:
        """Collects the penalties of the forward pass inside the block."""
        self._penalties = []
        distance = off_diagonal(batch, self._max_delay)
        hooks = [module.register_forward_pre_hook(self._hook(distance)) for module in self.watched]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def penalty(self) -> Float[Tensor, ""]:
        """Weighted, summed over the steps of the batch, averaged over the guided heads."""
        return self._weight * torch.stack(self._penalties).mean()

    def _hook(self, distance_BTS: Float[Tensor, "B T S"]) -> Callable[[nn.Module, Any], None]:
        def collect(module: nn.Module, arguments: Any) -> None:
            assert isinstance(module, CrossAttention)
            x_BTD, text, mask, rope = arguments
            weights_BHTS = attention_weights(module, x_BTD, text, mask, rope)
            self._penalties.append((weights_BHTS * distance_BTS[:, None]).sum(dim=(0, 2, 3)).mean())

        return collect


def attention_weights(
    module: CrossAttention,
    x_BTD: Float[Tensor, "B T D"],
    text: KeyValues,
    mask: Bool[Tensor, "B 1 1 S"] | None,
    rope: RotaryTable | None,
) -> Float[Tensor, "B guided T S"]:
    """Softmax of the scores of the first half of the heads, in float32."""
    q_BHTE = module.queries(x_BTD, rope)
    num_heads = q_BHTE.shape[1]
    guided = (num_heads + 1) // 2
    keys_BHSE = text.keys.repeat_interleave(num_heads // text.keys.shape[1], dim=1)
    scores = (q_BHTE[:, :guided] @ keys_BHSE[:, :guided].mT).float() * ATTENTION_SCALE
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def off_diagonal(batch: Batch, max_delay: int) -> Float[Tensor, "B T S"]:
    """1 - exp(-(s/S - t/F)² / 2g²) at the steps of clips that have their text, 0 elsewhere."""
    num_bytes_B = batch.text_mask_BS.sum(dim=1)
    num_frames_B = batch.audio_mask_BT.sum(dim=1) - max_delay
    device = batch.text_BS.device
    text_BS = torch.arange(batch.text_BS.shape[1], device=device) / num_bytes_B[:, None]
    audio_BT = torch.arange(batch.audio_mask_BT.shape[1], device=device) / num_frames_B[:, None]
    gap_BTS = text_BS[:, None, :] - audio_BT.clamp(max=1.0)[:, :, None]
    penalty_BTS = 1 - torch.exp(-(gap_BTS**2) / (2 * DIAGONAL_WIDTH**2))
    has_text_B11 = batch.text_BS.any(dim=1)[:, None, None]
    return penalty_BTS * batch.audio_mask_BT[:, :, None] * has_text_B11
