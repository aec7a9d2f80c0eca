"""MODEL → LoadedModel: the one entry for every format, file, Hub id and adapter.

Which revision a model is of comes from its dialoom.json, else from its format (transformers and
nari's present schema: 0626; nari's old schema: 2025-04), else from the person. Never from a guess:
weights of one revision load into the other without error and speak noise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dialoom.checkpoint.adapter import ADAPTER_CONFIG, merge_adapter, read_adapter
from dialoom.checkpoint.infer import infer_config
from dialoom.checkpoint.info import ModelInfo, from_json, missing_revision
from dialoom.checkpoint.locate import locate
from dialoom.checkpoint.nari_config import from_april_config, is_april_schema
from dialoom.checkpoint.nari_weights import from_nari_weights, is_nari, model_shapes, nari_shapes
from dialoom.checkpoint.pretrained import (
    CONFIG_FILE,
    INFO_FILE,
    WEIGHTS_FILES,
    LoadedModel,
    config_from_json,
)
from dialoom.checkpoint.store import read_json
from dialoom.checkpoint.tensor_files import (
    SHARD_INDEX,
    WeightsFile,
    open_weights,
    refuse_other_tensors,
)
from dialoom.errors import CheckpointError, RevisionMissing
from dialoom.model import DiaConfig, DiaModel, Revision

_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def load_model(source: str | Path, *, revision: Revision | str | None = None) -> LoadedModel:
    """Loads any model that Dia's users have, in the type it was saved in, memory-mapped.

    Args:
        source: a directory (dialoom's, transformers', nari's or peft's), a .safetensors or .pth
            file, a Hub id, also as `owner/name@revision-on-the-hub`, or `mini`.
        revision: needed where the source does not say it; must agree where it does.

    Raises:
        CheckpointError: it cannot be found, is damaged, or does not say what it is.
    """
    asked = None if revision is None else Revision.parse(str(revision))
    return _load(locate(source), asked, adapters=())


def _load(path: Path, asked: Revision | None, *, adapters: tuple[Path, ...]) -> LoadedModel:
    """The model at a place, which the given adapters stand on."""
    if path.is_file():
        return _load_file(path, asked)
    if (path / ADAPTER_CONFIG).exists():
        adapter = read_adapter(path)
        adapters = (*adapters, path.resolve())
        place = locate(adapter.base)
        if place.resolve() in adapters:
            raise CheckpointError(
                f"{path / ADAPTER_CONFIG}: the base {adapter.base} is this adapter, or one on it: "
                "write the model that it was trained on into base_model_name_or_path"
            )
        info, said = _adapter_info(path)
        base = _load(place, asked or said, adapters=adapters)
        merge_adapter(base.model, adapter)
        return LoadedModel(base.model, info or base.info)
    return load_pretrained(path, revision=asked)


def load_pretrained(directory: Path, *, revision: Revision | None = None) -> LoadedModel:
    """Reads a directory of dialoom, transformers or nari.

    Args:
        directory: holds config.json and the weights.
        revision: needed where the directory does not say it; must agree where it does.

    Raises:
        CheckpointError: anything is missing, damaged, superfluous or of another shape.
    """
    if not directory.is_dir():
        raise CheckpointError(f"no model at {directory}: give a directory with {CONFIG_FILE}")
    data = read_json(directory / CONFIG_FILE)
    info, said = _read_info(directory, data)
    if said is None and revision is None:
        raise RevisionMissing(missing_revision(str(directory)))
    if said is not None and revision is not None and said is not revision:
        raise CheckpointError(
            f"{directory} says that it is of revision {said}, you say {revision}: leave "
            "--revision out"
        )
    config = _read_config(directory / CONFIG_FILE, said or revision or Revision.JUNE_2025)
    weights = open_weights(find_weights(directory, config.revision))
    return LoadedModel(build_model(config, weights, where=str(directory)), info)


def build_model(config: DiaConfig, weights: WeightsFile, *, where: str) -> DiaModel:
    """A model around the tensors of a file, translated where their names are nari's.

    Raises:
        CheckpointError: names, shapes or types are not the configuration's.
    """
    if is_nari(weights.shapes):
        refuse_other_tensors(weights.shapes, nari_shapes(config), where=where)
        state = from_nari_weights(weights, config)
    else:
        refuse_other_tensors(weights.shapes, model_shapes(config), where=where)
        state = dict(weights)
    with torch.device("meta"):
        model = DiaModel(config)
    load_weights(model, _of_one_type(state, where), where=where)
    return model.eval()


def load_weights(model: DiaModel, state: Mapping[str, Tensor], *, where: str) -> None:
    """Puts tensors into a model that may be on the meta device.

    Raises:
        CheckpointError: names or shapes are not exactly the model's.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    refuse_other_tensors(shapes, expected, where=where)
    model.load_state_dict(state, assign=True)
    embeddings = model.decoder.embeddings  # a buffer that no checkpoint holds
    embeddings.offsets = torch.arange(model.config.layout.num_channels) * (
        model.config.layout.vocab_size
    )
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def find_weights(directory: Path, revision: Revision) -> Path:
    """The weights in a directory: safetensors before .pth, one file before shards.

    Raises:
        CheckpointError: there are none, or several .pth.
    """
    own, common = WEIGHTS_FILES[revision], WEIGHTS_FILES[Revision.JUNE_2025]
    for name in dict.fromkeys((own, own + SHARD_INDEX, common, common + SHARD_INDEX)):
        if (directory / name).exists():
            return directory / name
    pickled = sorted(directory.glob("*.pth"))
    if len(pickled) > 1:
        raise CheckpointError(
            f"{directory} holds several .pth files: give the path of the one you mean, and "
            "--revision"
        )
    return pickled[0] if pickled else directory / own


def _load_file(path: Path, revision: Revision | None) -> LoadedModel:
    """Bare weights: the person says the revision, shapes or a config.json beside it the rest."""
    weights = open_weights(path)
    if revision is None:
        raise RevisionMissing(missing_revision(str(path)))
    config_path = path.with_name(CONFIG_FILE)
    if config_path.exists():
        config = _read_config(config_path, revision)
    else:
        config = infer_config(weights.shapes, revision, where=str(path))
    return LoadedModel(build_model(config, weights, where=str(path)), ModelInfo())


def _read_config(path: Path, revision: Revision) -> DiaConfig:
    data = read_json(path)
    read = from_april_config if is_april_schema(data) else config_from_json
    try:
        return read(data, revision=revision)
    except CheckpointError as error:
        separator = "" if str(error).startswith(CONFIG_FILE) else ": "
        raise CheckpointError(f"{path}{separator}{str(error).removeprefix(CONFIG_FILE)}") from None


def _read_info(directory: Path, config: dict[str, Any]) -> tuple[ModelInfo, Revision | None]:
    """From dialoom.json; without one, the schema of config.json says the revision."""
    if (directory / INFO_FILE).exists():
        return from_json(read_json(directory / INFO_FILE), str(directory / INFO_FILE))
    if is_april_schema(config):
        return ModelInfo(), Revision.APRIL_2025
    if config.get("model_type") == "dia" and "encoder_config" in config:
        return ModelInfo(), Revision.JUNE_2025
    return ModelInfo(), None


def _adapter_info(directory: Path) -> tuple[ModelInfo | None, Revision | None]:
    """What an adapter that was trained here says of itself; peft's own say nothing."""
    if not (directory / INFO_FILE).exists():
        return None, None
    return from_json(read_json(directory / INFO_FILE), str(directory / INFO_FILE))


def _of_one_type(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """In nari's code norms are in float32 whatever the rest is; here all have the head's type."""
    for name, tensor in state.items():
        if tensor.dtype not in _TYPES:
            raise CheckpointError(
                f"{where}: {name} is of type {tensor.dtype}: give weights in float32, bfloat16 or "
                "float16"
            )
    dtype = state["logits_dense.weight"].dtype
    return {name: tensor.to(dtype) for name, tensor in state.items()}
