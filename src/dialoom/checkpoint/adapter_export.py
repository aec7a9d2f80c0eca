"""A LoRA adapter → a directory of peft, without its base: a few MB in place of the whole model."""

from pathlib import Path

from torch import Tensor

from dialoom.checkpoint.adapter import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    Adapter,
    read_adapter,
    refuse_half_pairs,
)
from dialoom.checkpoint.card import write_adapter_card
from dialoom.checkpoint.card_facts import CardFacts
from dialoom.checkpoint.convert import cast_tensor
from dialoom.checkpoint.locate import locate
from dialoom.checkpoint.store import atomic_directory, write_json
from dialoom.checkpoint.tensor_files import save_tensors
from dialoom.errors import CheckpointError


def export_adapter(
    source: str, out: Path, *, dtype: str | None = None, facts: CardFacts | None = None
) -> None:
    """Writes an adapter alone, whole or not at all; its base is neither read nor needed.

    Args:
        source: a directory or Hub id of an adapter; a pickled one becomes safetensors.
        out: must not exist.
        dtype: one of `DTYPES`; None keeps the adapter's.
        facts: what is known of where it comes from, for its card.

    Raises:
        CheckpointError: `out` exists or cannot be written, or `source` is no LoRA adapter, or is
            damaged.
    """
    if out.exists():
        raise CheckpointError(f"{out} exists already: give a new directory")
    adapter = _open(source)
    tensors = {name: _converted(name, adapter, dtype) for name in adapter.weights}
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    facts = facts or CardFacts(base=adapter.base)
    with atomic_directory(out) as temporary:
        write_json(temporary / ADAPTER_CONFIG, dict(adapter.config))
        save_tensors(tensors, temporary / ADAPTER_WEIGHTS)
        write_adapter_card(temporary, adapter, facts, name=out.name, dtype=", ".join(types))


def _open(source: str) -> Adapter:
    path = locate(source)
    if not (path / ADAPTER_CONFIG).is_file():
        raise CheckpointError(
            f"{source} is no adapter, it has no {ADAPTER_CONFIG}: take --to transformers or nari"
        )
    adapter = read_adapter(path)
    refuse_half_pairs(adapter)
    return adapter


def _converted(name: str, adapter: Adapter, dtype: str | None) -> Tensor:
    tensor = adapter.weights[name]
    return (tensor if dtype is None else cast_tensor(name, tensor, dtype)).contiguous()
