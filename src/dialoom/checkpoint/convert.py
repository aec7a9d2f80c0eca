"""A loaded model → a directory that transformers, nari's code and dialoom read, with its card."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from dialoom.checkpoint.card import write_card
from dialoom.checkpoint.card_facts import CardFacts
from dialoom.checkpoint.info import to_json
from dialoom.checkpoint.nari_config import to_nari_config
from dialoom.checkpoint.nari_weights import to_nari_weights
from dialoom.checkpoint.pretrained import (
    CONFIG_FILE,
    INFO_FILE,
    WEIGHTS_FILES,
    LoadedModel,
    write_model_files,
)
from dialoom.checkpoint.store import atomic_directory, write_json
from dialoom.checkpoint.tensor_files import save_tensors
from dialoom.errors import CheckpointError
from dialoom.model import DiaModel, Revision


class Format(StrEnum):
    """Whose format a model is written in."""

    TRANSFORMERS = "transformers"
    NARI = "nari"


DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)

NARI_PICKLE = "dia-v0_1.pth"
"""The name that nari's own release has."""


OnStage = Callable[[str], None]
"""Told what begins: at the full size every stage takes a while."""


def export_model(
    loaded: LoadedModel,
    out: Path,
    *,
    to: Format,
    dtype: str | None = None,
    facts: CardFacts | None = None,
    on_stage: OnStage = lambda _: None,
) -> None:
    """Writes a model, whole or not at all.

    Args:
        loaded: its parameters are converted in place where `dtype` asks for another type.
        out: must not exist.
        to: the format.
        dtype: one of `DTYPES`; None keeps the model's.
        facts: what is known of where the model comes from, for its card.
        on_stage: told what begins.

    Raises:
        CheckpointError: `out` exists or cannot be written, or the format cannot hold this model.
    """
    model = loaded.model
    _refuse(model, out, to)
    if dtype is not None:
        on_stage(f"to {dtype}")
        _cast(model, dtype)
    with atomic_directory(out) as temporary:
        if to is Format.NARI:
            _write_nari(loaded, temporary, on_stage)
        else:
            on_stage(f"writing {_size(model)}")
            write_model_files(model, loaded.info, temporary)
        write_card(temporary, loaded, facts or CardFacts(), name=out.name, to=to)
        on_stage("to disk")


def _refuse(model: DiaModel, out: Path, to: Format) -> None:
    if out.exists():
        raise CheckpointError(f"{out} exists already: give a new directory")
    if to is Format.TRANSFORMERS and model.config.revision is Revision.APRIL_2025:
        raise CheckpointError(
            "a model of April 2025 cannot go to transformers: that has the mathematics of 0626 "
            "alone, which does not rotate cross-attention, and would speak noise: use --to nari"
        )


def _size(model: DiaModel) -> str:
    return f"{sum(parameter.nbytes for parameter in model.parameters()) / 1e9:.2f} GB"


def _write_nari(loaded: LoadedModel, directory: Path, on_stage: OnStage) -> None:
    """Weights twice: `DiaModel.from_pretrained` reads only a .safetensors, `Dia.from_local` a .pth.

    The former wants the names model.safetensors and config.json, which transformers opens too. It
    does not take kernels for matrices: it raises (tests/checkpoint/test_nari_format.py).
    """
    model, weights_file = loaded.model, WEIGHTS_FILES[Revision.JUNE_2025]
    on_stage("to nari's kernels")
    write_json(directory / CONFIG_FILE, to_nari_config(model.config))
    write_json(directory / INFO_FILE, to_json(loaded.info, model.config.revision))
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    theirs = to_nari_weights(state, model.config)
    on_stage(f"writing {weights_file}, {_size(model)}")
    save_tensors(theirs, directory / weights_file)
    on_stage(f"writing {NARI_PICKLE}, {_size(model)}")
    torch.save(theirs, directory / NARI_PICKLE)


@torch.no_grad()
def _cast(model: DiaModel, dtype: str) -> None:
    """One parameter after the other, so that no second model stands in memory."""
    for name, parameter in model.named_parameters():
        parameter.data = cast_tensor(name, parameter, dtype)


def cast_tensor(name: str, tensor: Tensor, dtype: str) -> Tensor:
    """The tensor in one of `DTYPES`.

    Raises:
        CheckpointError: there is no such type, or it cannot hold the values.
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"dtype {dtype!r} is unknown: take {', '.join(DTYPES)}")
    cast = tensor.to(DTYPES[dtype])
    if cast.dtype is not tensor.dtype and not bool(cast.isfinite().all()):
        raise CheckpointError(
            f"{name} has values that {dtype} cannot hold: take --dtype bfloat16 or float32"
        )
    return cast
