"""An adapter that trains inside a model ↔ the files that peft loads onto transformers' Dia.

The file holds what trains and nothing else: a few MB, in fp32, so that a resumed run goes on from
the same bits. dialoom.json beside it says tags, codec and revision, as for a whole model.
"""

from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dialoom.checkpoint.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, PEFT_PREFIX
from dialoom.checkpoint.info import ModelInfo, to_json
from dialoom.checkpoint.pretrained import INFO_FILE
from dialoom.checkpoint.store import write_json
from dialoom.checkpoint.tensor_files import open_weights, refuse_other_tensors, save_tensors
from dialoom.model import DiaModel

ADAPTER_NAME = "default"
"""Under which peft keeps an adapter in a model; its files do not have it."""

_MAGNITUDE = ".lora_magnitude_vector"


def is_adapted(model: nn.Module) -> bool:
    """Whether an adapter was put into the model, so that its checkpoints hold that alone."""
    return hasattr(model, "peft_config")


def write_adapter_files(model: DiaModel, info: ModelInfo, directory: Path) -> None:
    """Writes the adapter of a model into a directory that exists."""
    write_json(directory / ADAPTER_CONFIG, _config(model))
    write_json(directory / INFO_FILE, to_json(info, model.config.revision))
    tensors = {name: tensor.detach().contiguous() for name, tensor in _trained(model).items()}
    save_tensors(tensors, directory / ADAPTER_WEIGHTS)


@torch.no_grad()
def load_adapter_files(model: DiaModel, directory: Path) -> None:
    """Inverse of `write_adapter_files`, into a model with an adapter of the same settings.

    Raises:
        CheckpointError: the file is missing, damaged, or of another adapter.
    """
    saved, trained = open_weights(directory / ADAPTER_WEIGHTS), _trained(model)
    expected = {name: tuple(tensor.shape) for name, tensor in trained.items()}
    refuse_other_tensors(saved.shapes, expected, where=str(directory))
    for name, tensor in trained.items():
        tensor.copy_(saved[name])


def _trained(model: DiaModel) -> dict[str, Tensor]:
    """What trains, under the names that peft gives it in files."""
    return {_file_name(name): p for name, p in model.named_parameters() if p.requires_grad}


def _file_name(name: str) -> str:
    name = PEFT_PREFIX + name.replace(f".{ADAPTER_NAME}.weight", ".weight")
    return name.removesuffix(".weight") if _MAGNITUDE in name else name


def _config(model: DiaModel) -> dict[str, Any]:
    """adapter_config.json: peft's settings, and which modules the adapter brings whole."""
    peft_config: Any = model.peft_config
    settings = {**peft_config[ADAPTER_NAME].to_dict(), "inference_mode": True}
    whole = [
        name.removeprefix("model.").removesuffix(".weight")
        for name, p in model.named_parameters()
        if p.requires_grad and ".lora_" not in name
    ]
    settings["modules_to_save"] = whole or None
    return {name: _plain(value) for name, value in sorted(settings.items())}


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    return value.value if isinstance(value, Enum) else value
