"""A loaded model → a directory that transformers, nari's code and dialoom read, with its card."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dialoom.checkpoint.card import CardFacts, write_card
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


def export_model(
    loaded: LoadedModel,
    out: Path,
    *,
    to: Format,
    dtype: str | None = None,
    facts: CardFacts | None = None,
) -> None:
    """Writes a model, whole or not at all.

    nari's format holds the weights twice: `DiaModel.from_pretrained` reads only a .safetensors,
    `Dia.from_local` only a .pth.

    Args:
        loaded: its parameters are converted in place where `dtype` asks for another type.
        out: must not exist.
        to: the format.
        dtype: one of `DTYPES`; None keeps the model's.
        facts: what is known of where the model comes from, for its card.

    Raises:
        CheckpointError: `out` exists, or the format cannot hold this model.
    """
    model = loaded.model
    _refuse(model, out, to)
    _cast(model, dtype)
    try:
        with atomic_directory(out) as temporary:
            if to is Format.NARI:
                _write_nari(loaded, temporary)
            else:
                write_model_files(model, loaded.info, temporary)
            write_card(temporary, loaded, facts or CardFacts(), name=out.name, to=to)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{out} cannot be written ({error}): nothing was left there"
        ) from None


def _refuse(model: DiaModel, out: Path, to: Format) -> None:
    if out.exists():
        raise CheckpointError(f"{out} exists already: give a new directory")
    if to is Format.TRANSFORMERS and model.config.revision is Revision.APRIL_2025:
        raise CheckpointError(
            "a model of April 2025 cannot go to transformers: that has the mathematics of 0626 "
            "alone, which does not rotate cross-attention, and would speak noise: use --to nari"
        )


def _write_nari(loaded: LoadedModel, directory: Path) -> None:
    model = loaded.model
    write_json(directory / CONFIG_FILE, to_nari_config(model.config))
    write_json(directory / INFO_FILE, to_json(loaded.info, model.config.revision))
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    theirs = to_nari_weights(state, model.config)
    save_file(theirs, directory / WEIGHTS_FILES[Revision.JUNE_2025], metadata={"format": "pt"})
    torch.save(theirs, directory / NARI_PICKLE)


@torch.no_grad()
def _cast(model: DiaModel, dtype: str | None) -> None:
    """One parameter after the other, so that no second model stands in memory."""
    if dtype is None:
        return
    if dtype not in DTYPES:
        raise CheckpointError(f"dtype {dtype!r} is unknown: take {', '.join(DTYPES)}")
    for name, parameter in model.named_parameters():
        cast: Tensor = parameter.to(DTYPES[dtype])
        if cast.dtype is not parameter.dtype and not bool(cast.isfinite().all()):
            raise CheckpointError(
                f"{name} has values that {dtype} cannot hold: take --dtype bfloat16 or float32"
            )
        parameter.data = cast
