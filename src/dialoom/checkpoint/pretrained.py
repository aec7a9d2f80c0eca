"""A model ↔ a directory that transformers loads as it is."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dialoom.checkpoint.info import ModelInfo, from_json, missing_revision, to_json
from dialoom.checkpoint.processor_files import write_processor_files
from dialoom.checkpoint.store import atomic_directory, read_json, write_json
from dialoom.checkpoint.transformers_config import from_transformers_config, to_transformers_config
from dialoom.errors import CheckpointError
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

_CONFIG, _INFO = "config.json", "dialoom.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model and what it says of itself."""

    model: DiaModel
    info: ModelInfo


def save_pretrained(model: DiaModel, info: ModelInfo, directory: Path) -> None:
    """Writes the whole directory atomically."""
    with atomic_directory(directory) as temporary:
        write_model_files(model, info, temporary)


def write_model_files(model: DiaModel, info: ModelInfo, directory: Path) -> None:
    """Writes the model's files into a directory that exists."""
    config = model.config
    write_json(directory / _CONFIG, config_to_json(config))
    write_json(directory / "generation_config.json", _generation_config(config))
    write_json(directory / _INFO, to_json(info, config.revision))
    write_processor_files(directory, config, info.codec)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, directory / WEIGHTS_FILES[config.revision], metadata={"format": "pt"})


def load_pretrained(directory: Path, *, revision: Revision | None = None) -> LoadedModel:
    """Reads a dialoom checkpoint or a transformers directory, in the type it was saved in.

    Args:
        directory: holds config.json and the weights.
        revision: needed where the directory does not say it; must agree where it does.

    Raises:
        CheckpointError: anything is missing, damaged, superfluous or of another shape.
    """
    if not directory.is_dir():
        raise CheckpointError(f"no model at {directory}: give a directory with {_CONFIG}")
    data = read_json(directory / _CONFIG)
    info, said = _read_info(directory, data)
    if said is None and revision is None:
        raise CheckpointError(missing_revision(str(directory)))
    if said is not None and revision is not None and said is not revision:
        raise CheckpointError(
            f"{directory} says that it is of revision {said}, you say {revision}: leave "
            "--revision out"
        )
    config = config_from_json(data, revision=said or revision or Revision.JUNE_2025)
    with torch.device("meta"):
        model = DiaModel(config)
    weights = _read_weights(directory / WEIGHTS_FILES[config.revision])
    load_weights(model, weights, where=str(directory))
    return LoadedModel(model.eval(), info)


def load_weights(model: DiaModel, state: dict[str, Tensor], *, where: str) -> None:
    """Puts tensors into a model that may be on the meta device.

    Raises:
        CheckpointError: names or shapes are not exactly the model's.
    """
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or extra:
        raise CheckpointError(
            f"{where}: {len(missing)} tensors are missing{_first(missing)} and {len(extra)} are "
            f"superfluous{_first(extra)}: these weights are not of this configuration"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{where}: {name} has shape {tuple(tensor.shape)}, config.json asks for "
                f"{tuple(expected[name].shape)}"
            )
    model.load_state_dict(state, assign=True)
    embeddings = model.decoder.embeddings  # a buffer that no checkpoint holds
    embeddings.offsets = torch.arange(model.config.layout.num_channels) * (
        model.config.layout.vocab_size
    )
    for parameter in model.parameters():
        parameter.requires_grad_(True)


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


def _read_info(directory: Path, config: dict[str, Any]) -> tuple[ModelInfo, Revision | None]:
    """From dialoom.json; without one, transformers' format itself says that it is 0626."""
    if (directory / _INFO).exists():
        return from_json(read_json(directory / _INFO), str(directory / _INFO))
    if config.get("model_type") == "dia" and "encoder_config" in config:
        return ModelInfo(), Revision.JUNE_2025
    return ModelInfo(), None


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise CheckpointError(f"{path} is missing: the model has no weights")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy it again") from None


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


def _first(names: list[str]) -> str:
    return f" (first: {names[0]})" if names else ""
