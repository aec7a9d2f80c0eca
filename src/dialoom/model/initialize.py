"""Weights to start from when there is no base model."""

import math

import torch
from torch import nn

from dialoom.model.attention import CrossAttention, SelfAttention
from dialoom.model.blocks import FeedForward
from dialoom.model.dia import DiaModel

HEAD_STD = 0.02
"""Small, so that the first loss is that of guessing, ln V per channel."""


@torch.no_grad()
def initialize(model: DiaModel, *, seed: int) -> None:
    """Draws all weights anew; the same seed gives the same weights on every machine.

    Linear maps keep variance (σ² = 1 / fan-in). Two corrections: queries and keys are smaller by
    E^(-1/4), because Dia's attention has scale 1.0 instead of 1/√E; projections that add to the
    residual stream are smaller by √(number of such additions), as in GPT-2 (Radford et al. 2019),
    because a deep Dia with plain Xavier weights was seen to diverge. Norm weights stay 1.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(weight: torch.Tensor, std: float) -> None:
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)

    config = model.config
    additions = {"encoder": 2 * config.encoder.num_hidden_layers}
    additions["decoder"] = 3 * config.decoder.num_hidden_layers
    for part, module in (("encoder", model.encoder), ("decoder", model.decoder)):
        residual = 1 / math.sqrt(additions[part])
        for layer in module.modules():
            if isinstance(layer, SelfAttention | CrossAttention):
                sharpness = layer.head_dim**-0.25
                draw(layer.q_proj.weight, _fan_in_std(layer.q_proj) * sharpness)
                draw(layer.k_proj.weight, _fan_in_std(layer.k_proj) * sharpness)
                draw(layer.v_proj.weight, _fan_in_std(layer.v_proj))
                draw(layer.o_proj.weight, _fan_in_std(layer.o_proj) * residual)
            elif isinstance(layer, FeedForward):
                draw(layer.gate_up_proj.weight, _fan_in_std(layer.gate_up_proj))
                draw(layer.down_proj.weight, _fan_in_std(layer.down_proj) * residual)
    draw(model.encoder.embedding.weight, 1.0)
    draw(model.decoder.embeddings.embed.weight, config.layout.num_channels**-0.5)
    draw(model.logits_dense.weight, HEAD_STD)


def _fan_in_std(linear: nn.Linear) -> float:
    return 1 / math.sqrt(linear.in_features)
