"""An adapter for a model that is left as it is: LoRA or DoRA, by peft."""

from pathlib import Path

import torch
from torch import Tensor, nn

from dialoom.checkpoint.adapter_files import ADAPTER_NAME, is_adapted
from dialoom.errors import RecipeError
from dialoom.model import DiaModel
from dialoom.train.settings import LoraSettings
from dialoom.train.trained_part import ROOT, matches, near

HEAD = "logits_dense"
"""Gets no adapter: the loss reads its weight, in chunks, and would pass an adapter by."""


def attach_adapter(model: DiaModel, settings: LoraSettings, *, base: str, seed: int) -> None:
    """Puts an adapter into the linear maps of a model, and freezes all the rest.

    Its beginning changes nothing: B is zero (Hu et al., arXiv 2106.09685).

    Args:
        model: with fp32 weights, changed in place; what trains stays in fp32.
        settings: of the adapter.
        base: what the model was loaded from, as `load_model` takes it; the adapter will name it.
        seed: of A.

    Raises:
        RecipeError: a target names no linear map.
    """
    from peft import LoraConfig, inject_adapter_in_model

    name, _, hub_revision = base.partition("@")
    is_local = Path(base).expanduser().exists()
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        target_modules=_modules(model, settings.targets),
        base_model_name_or_path=str(Path(base).expanduser().resolve()) if is_local else name,
        revision=hub_revision if hub_revision and not is_local else None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=ADAPTER_NAME)
    if settings.embeddings:
        for table in (model.encoder.embedding, model.decoder.embeddings.embed):
            table.weight.requires_grad_(True)


def to_bf16(model: DiaModel) -> None:
    """Halves the memory of a model; what an adapter trains stays in fp32.

    Where embeddings are among that, their output becomes bf16 like all that follows.
    """
    for parameter in model.parameters():
        if not (is_adapted(model) and parameter.requires_grad):
            parameter.data = parameter.data.bfloat16()
    for tables in (model.encoder.embedding, model.decoder.embeddings):
        if next(tables.parameters()).dtype is torch.float32:
            tables.register_forward_hook(_output_to_bf16)


def _output_to_bf16(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.bfloat16()


def _modules(model: DiaModel, targets: tuple[str, ...]) -> list[str]:
    """What adapter_config.json names: ends of names as they are, patterns as what they match."""
    layers = [(name, m) for name, m in model.named_modules() if name != HEAD]
    linear = [name for name, m in layers if isinstance(m, nn.Linear)]
    chosen: list[str] = []
    for target in targets:
        if "*" in target:
            found = [name for name in linear if matches(name, target)]
            chosen += found
        else:
            found = [name for name in linear if f".{name}".endswith(f".{target}")]
            chosen.append(target)
        if not found:
            short = [name.removeprefix(ROOT) for name in linear]
            ends = sorted({name.rpartition(".")[2] for name in linear})
            raise RecipeError(
                f"train.lora.targets: {target!r} names no linear map; "
                f"{near(target, [*ends, *short])}"
            )
    return chosen
