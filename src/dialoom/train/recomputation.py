"""Activation checkpointing: layers that forget what they computed, and compute it again.

Without it every layer keeps its activations until its backward pass; with it a layer keeps its
input alone, at the price of one more forward pass (Chen et al., arXiv 1604.06174). Nothing else
changes: the loss and every gradient are the same numbers.
"""

from collections.abc import Collection
from functools import partial
from typing import Literal

from torch.utils.checkpoint import checkpoint

from dialoom.model import DiaModel
from dialoom.model.attention import CrossAttention


def recompute_layers(
    model: DiaModel,
    which: Literal["none", "all"] | int,
    *,
    watched: Collection[CrossAttention] = (),
) -> None:
    """Makes layers recompute in the backward pass, in place; names and weights stay.

    Args:
        model: whose encoder and decoder layers are meant.
        which: none, all, or every n-th, which leaves n - 1 of n as fast as they were.
        watched: modules with hooks, which would not be called again: their layers stay as they are.
    """
    if which == "none":
        return
    every = 1 if which == "all" else which
    for layers in (model.encoder.layers, model.decoder.layers):
        for layer in list(layers)[::every]:
            if not any(child is module for child in layer.children() for module in watched):
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
