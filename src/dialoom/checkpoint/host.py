"""Copies in host memory: a checkpoint can be written while training goes on."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dialoom.model import DiaConfig, DiaModel


def copy_to_host(value: Any) -> Any:
    """The same structure of dicts, lists and tuples; tensors are copied, wherever they are."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copy_to_host(item) for item in value)
    return value


def model_around(config: DiaConfig, weights: Mapping[str, Tensor]) -> DiaModel:
    """A model that holds just these tensors; nothing is copied."""
    with torch.device("meta"):
        model = DiaModel(config)
    model.load_state_dict(weights, assign=True)
    device = model.logits_dense.weight.device
    model.decoder.embeddings.offsets = (
        torch.arange(config.layout.num_channels, device=device) * config.layout.vocab_size
    )
    return model.eval()


def host_model(model: DiaModel) -> DiaModel:
    """The same model, adapters included, with copies of the weights that train in host memory.

    Frozen weights are shared: nothing changes them.
    """
    memo: dict[int, Any] = {
        id(p): nn.Parameter(copy_to_host(p)) if p.requires_grad else p for p in model.parameters()
    }
    return copy.deepcopy(model, memo)
