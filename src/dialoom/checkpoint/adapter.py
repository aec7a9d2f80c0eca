"""LoRA adapters in peft's format, merged into a model: W + scale · B · A (Hu et al. 2106.09685).

DoRA (Liu et al., arXiv 2402.09353) gives each row of that sum a learnt norm m: m · W' / ‖W'‖.

Merged here and not by peft, so that speaking with an adapter needs no further package.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dialoom.checkpoint.store import read_json
from dialoom.checkpoint.tensor_files import WeightsFile, open_weights
from dialoom.errors import CheckpointError
from dialoom.model import DiaModel

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_WEIGHTS = (ADAPTER_WEIGHTS, "adapter_model.bin")
PEFT_PREFIX = "base_model.model."
"""In front of the names of tensors in an adapter's file."""

_INITS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights that leave the base alone. The others (PiSSA, OLoRA, CorDA, LoftQ, …)
take the adapter's beginning out of the base: on the base as published the sum is another model."""

_BEYOND_LORA = (
    "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "target_parameters",
    "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "kasa_config",
    "monteclora_config",
)  # fmt: skip
"""Fields of adapter_config.json that, when set, make an adapter more than LoRA or DoRA."""


@dataclass(frozen=True)
class Adapter:
    """What peft saved.

    Attributes:
        directory: where.
        base: the model that it was trained on, as its author named it.
        config: adapter_config.json.
        weights: tensors under peft's names.
    """

    directory: Path
    base: str
    config: Mapping[str, Any]
    weights: WeightsFile


def read_adapter(directory: Path) -> Adapter:
    """Opens an adapter's directory.

    Raises:
        CheckpointError: it names no base, is no plain LoRA, or has no weights.
    """
    config = read_json(directory / ADAPTER_CONFIG)
    base = config.get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise CheckpointError(
            f"{directory}: {ADAPTER_CONFIG} names no base model: write it into "
            "base_model_name_or_path"
        )
    _refuse_other_kinds(config, directory)
    _refuse_malformed(config, directory)
    if config.get("revision") and "@" not in base and not Path(base).expanduser().exists():
        base = f"{base}@{config['revision']}"  # of the base, on the Hub
    present = [directory / name for name in _WEIGHTS if (directory / name).exists()]
    weights = open_weights(present[0] if present else directory / _WEIGHTS[0])
    return Adapter(directory, base, config, weights)


def _refuse_other_kinds(config: Mapping[str, Any], directory: Path) -> None:
    init = config.get("init_lora_weights")
    beyond = [name for name in _BEYOND_LORA if config.get(name)]
    if config.get("peft_type") != "LORA":
        kind = f"of type {config.get('peft_type')!r}"
    elif beyond:
        kind = f"with {beyond[0]}"
    elif not isinstance(init, bool | str | None) or init not in _INITS:
        kind = f"with init_lora_weights {init!r}, which also changes the base"
    else:
        return
    raise CheckpointError(
        f"{directory}: an adapter {kind}; only LORA and DoRA can be merged here: merge it with "
        "peft and give the merged model"
    )


def _refuse_malformed(config: Mapping[str, Any], directory: Path) -> None:
    try:
        float(config.get("lora_alpha", 8))
        for pattern, value in (config.get("alpha_pattern") or {}).items():
            re.compile(pattern)
            float(value)
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise CheckpointError(
            f"{directory / ADAPTER_CONFIG}: lora_alpha or alpha_pattern does not fit ({error}): "
            "they are a number, and numbers by module"
        ) from None


def refuse_half_pairs(adapter: Adapter) -> None:
    """Raises CheckpointError where A stands without B, B without A, or DoRA without its norms."""
    needs_norms = adapter.config.get("use_dora")
    for name in sorted(adapter.weights):
        norms = _magnitude(name.partition(".lora_A.")[0])
        if needs_norms and ".lora_A." in name and norms not in adapter.weights:
            raise CheckpointError(f"{adapter.directory}: {norms} is missing: copy it again")
        for one, other in ((".lora_A.", ".lora_B."), (".lora_B.", ".lora_A.")):
            partner = name.replace(one, other)
            if one in name and name.endswith(".weight") and partner not in adapter.weights:
                raise CheckpointError(f"{adapter.directory}: {partner} is missing: copy it again")


@torch.no_grad()
def merge_adapter(model: DiaModel, adapter: Adapter) -> None:
    """Adds the adapter to the model's weights, in place; sums are made in float32.

    Raises:
        CheckpointError: a tensor fits no parameter of the model, in name or shape.
    """
    refuse_half_pairs(adapter)
    parameters = dict(model.named_parameters())
    left = set(adapter.weights)
    for name in sorted(adapter.weights):
        if ".lora_A." in name and name.endswith(".weight"):
            partner = name.replace(".lora_A.", ".lora_B.")
            left -= {name, partner}
            a, b = adapter.weights[name], adapter.weights[partner]
            path = name.partition(".lora_A.")[0]
            module = path.removeprefix(PEFT_PREFIX)
            delta = _scale(adapter.config, module, rank=a.shape[0]) * (b.float() @ a.float())
            target = _target(parameters, f"{module}.weight", delta.shape, adapter)
            merged = target.float() + delta
            if adapter.config.get("use_dora"):
                left -= {_magnitude(path)}
                merged = _with_norms(merged, adapter, path)
            target.copy_(merged)
        elif ".lora_" not in name:  # modules_to_save: trained whole
            left -= {name}
            whole = adapter.weights[name]
            _target(parameters, name.removeprefix(PEFT_PREFIX), whole.shape, adapter).copy_(whole)
    if left:
        raise CheckpointError(
            f"{adapter.directory}: {min(left)} is no LoRA of a linear map: merge it with peft and "
            "give the merged model"
        )


def _magnitude(path: str) -> str:
    return f"{path}.lora_magnitude_vector"


def _with_norms(merged: Tensor, adapter: Adapter, path: str) -> Tensor:
    """The sum with DoRA's norm for each of its rows."""
    magnitude = adapter.weights[_magnitude(path)].float().flatten()
    if len(magnitude) != len(merged):
        raise CheckpointError(
            f"{adapter.directory}: {_magnitude(path)} has {len(magnitude)} norms for "
            f"{len(merged)} rows: copy it again"
        )
    norms: Tensor = torch.linalg.norm(merged, dim=1)
    return (magnitude / norms)[:, None] * merged


def _target(
    parameters: dict[str, torch.nn.Parameter], name: str, shape: torch.Size, adapter: Adapter
) -> Tensor:
    where = f"adapter {adapter.directory} on {adapter.base}"
    if name not in parameters:
        raise CheckpointError(f"{where}: the base has no {name}: it is an adapter of another model")
    parameter = parameters[name]
    if parameter.shape != shape:
        raise CheckpointError(
            f"{where}: {name} has shape {tuple(parameter.shape)}, the adapter is for "
            f"{tuple(shape)}: it was trained on a model of another width"
        )
    return parameter


def _scale(config: Mapping[str, Any], module: str, *, rank: int) -> float:
    """Alpha / r, by √r with rank-stabilised LoRA; alpha may differ by module."""
    alpha = float(config.get("lora_alpha", 8))
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = float(value)
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
