"""A model → a directory that transformers loads as it is. `load.py` reads it back."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from torch import Tensor

from dialoom.checkpoint.info import ModelInfo, to_json
from dialoom.checkpoint.processor_files import write_processor_files
from dialoom.checkpoint.store import atomic_directory, write_json
from dialoom.checkpoint.tensor_files import SHARD_INDEX, save_tensors
from dialoom.checkpoint.transformers_config import from_transformers_config, to_transformers_config
from dialoom.model import DiaConfig, DiaModel, Revision

APRIL_MODEL_TYPE = "dia-2025-04"
"""model_type in config.json of April models."""

WEIGHTS_FILES = MappingProxyType(
    {
        Revision.JUNE_2025: "model.safetensors",
        Revision.APRIL_2025: "april-2025.safetensors",
    }
)
"""transformers has no mathematics for April models, and only warns of another model_type: their
weights stand under a name that it does not look for, so that it refuses them."""

CONFIG_FILE, INFO_FILE = "config.json", "dialoom.json"

MAX_SHARD_BYTES = 5 * 10**9
"""Weights beyond it are spread over files of at most this size, as the Hub wants them."""


@dataclass(frozen=True)
class LoadedModel:
    """A model and what it says of itself."""

    model: DiaModel
    info: ModelInfo


def save_pretrained(model: DiaModel, info: ModelInfo, directory: Path) -> None:
    """Writes the whole directory atomically.

    Raises:
        CheckpointError: it cannot be written; nothing is left there.
    """
    with atomic_directory(directory) as temporary:
        write_model_files(model, info, temporary)


def write_model_files(model: DiaModel, info: ModelInfo, directory: Path) -> None:
    """Writes the model's files into a directory that exists."""
    config = model.config
    write_json(directory / CONFIG_FILE, config_to_json(config))
    write_json(directory / "generation_config.json", _generation_config(config))
    write_json(directory / INFO_FILE, to_json(info, config.revision))
    write_processor_files(directory, config, info)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    write_weights(state, directory, WEIGHTS_FILES[config.revision])


def write_weights(
    state: dict[str, Tensor], directory: Path, name: str, *, max_shard_bytes: int | None = None
) -> None:
    """Writes safetensors: one file, or shards and their index, as transformers names them.

    Args:
        state: contiguous tensors.
        directory: exists.
        name: of the one file; shards get their number before its suffix.
        max_shard_bytes: of one file; None for `MAX_SHARD_BYTES`.
    """
    stem = name.removesuffix(".safetensors")
    split = split_torch_state_dict_into_shards(
        state,
        filename_pattern=f"{stem}{{suffix}}.safetensors",
        max_shard_size=max_shard_bytes or MAX_SHARD_BYTES,
    )
    for filename, names in split.filename_to_tensors.items():
        shard = {tensor: state[tensor] for tensor in names}
        save_tensors(shard, directory / filename)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(directory / f"{name}{SHARD_INDEX}", index)


def config_to_json(config: DiaConfig) -> dict[str, Any]:
    """config.json of a model, whichever its revision."""
    data = to_transformers_config(config)
    if config.revision is Revision.APRIL_2025:
        data |= {"model_type": APRIL_MODEL_TYPE, "architectures": ["DiaModel"]}
    return data


def config_from_json(data: dict[str, Any], *, revision: Revision) -> DiaConfig:
    """Inverse of `config_to_json`."""
    if data.get("model_type") == APRIL_MODEL_TYPE:
        data = {**data, "model_type": "dia"}
    return from_transformers_config(data, revision=revision)


def _generation_config(config: DiaConfig) -> dict[str, Any]:
    """Nari's recommended settings, where `generate` of transformers looks for them."""
    layout = config.layout
    return {
        "_from_model_config": False,
        "bos_token_id": layout.bos_id,
        "eos_token_id": layout.eos_id,
        "pad_token_id": layout.pad_id,
        "decoder_start_token_id": layout.bos_id,
        "do_sample": True,
        "guidance_scale": 3.0,
        "temperature": 1.8,
        "top_k": 45,
        "top_p": 0.9,
        "max_length": config.decoder.max_position_embeddings,
    }
