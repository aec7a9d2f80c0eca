"""torch.compile, block by block: small graphs that compile in seconds and fit every length."""

from collections.abc import Callable, Collection

import torch
from torch import nn

from dialoom.loss import LossSums, channel_loss
from dialoom.model import DiaModel
from dialoom.model.attention import CrossAttention


def compiled_channel_loss() -> Callable[..., LossSums]:
    """`channel_loss` in one pass over the logits for each of forward and backward."""
    return torch.compile(channel_loss, dynamic=True)


def compile_blocks(model: DiaModel, *, watched: Collection[CrossAttention] = ()) -> None:
    """Compiles every encoder and decoder layer for shapes that change from batch to batch.

    Args:
        model: whose layers are compiled in place; names and weights stay as they are.
        watched: modules with hooks, which a graph would not call: of their layers only the rest
            is compiled.
    """
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        for module in _graphs(layer, watched):
            module.compile(dynamic=True)


def _graphs(layer: nn.Module, watched: Collection[CrossAttention]) -> list[nn.Module]:
    children = list(layer.children())
    if any(child is module for child in children for module in watched):
        return [child for child in children if not isinstance(child, CrossAttention)]
    return [layer]
