"""torch.compile, block by block: small graphs that compile in seconds and fit every length."""

from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import nn

from dialoom.loss import ChunkLoss, LossSums, cross_entropy_gradient, head_loss
from dialoom.model import DiaModel
from dialoom.model.attention import CrossAttention


def compiled_head_loss() -> Callable[..., LossSums]:
    """`head_loss` that goes over the logits of a chunk in as few passes as there can be."""
    compiled: ChunkLoss = torch.compile(cross_entropy_gradient, dynamic=True)
    return partial(head_loss, chunk_loss=compiled)


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
