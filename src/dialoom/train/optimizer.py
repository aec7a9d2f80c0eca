"""AdamW, its parameter groups, and the learning rate as a pure function of the step."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dialoom.errors import RecipeError
from dialoom.model import DiaModel
from dialoom.model.attention import CrossAttention, SelfAttention
from dialoom.train.settings import TrainSettings


def build_optimizer(model: DiaModel, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101); decay on linear maps alone.

    Query and key projections may learn more slowly: Dia's attention has scale 1.0, so for the same
    rate its scores move √E times as fast as those of attention with 1/√E, E^¼ for each of the two.
    A new model whose scores run away attends to single bytes before it knows to which.

    Raises:
        RecipeError: adamw8bit, and torchao is not installed.
    """
    groups = _parameter_groups(model, settings)
    if settings.optimizer == "adamw8bit":
        return adamw_8bit()(groups, lr=settings.lr, betas=settings.betas)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def moment_bytes(model: nn.Module, settings: TrainSettings) -> int:
    """Of AdamW's two moments of what trains: they come with the first update.

    8 a weight in float32; in 8 bits 2, and a float32 for every 256 of both.
    """
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return 8 * count if settings.optimizer == "adamw" else int(2.03 * count)


def adamw_8bit() -> Callable[..., torch.optim.Optimizer]:
    """The class of the optimizer with states in 8 bits; importing it takes a second.

    Raises:
        RecipeError: torchao is not installed.
    """
    try:
        from dialoom.train.adamw_8bit import AdamW8bit
    except ImportError:
        raise RecipeError(
            "train.optimizer is adamw8bit, which needs torchao: pip install 'dialoom[low-memory]'"
        ) from None
    return AdamW8bit


def _parameter_groups(model: DiaModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """Linear maps that decay, the rest, queries and keys; without those that would be empty."""
    attention = [m for m in model.modules() if isinstance(m, SelfAttention | CrossAttention)]
    slow = {id(p) for m in attention for part in (m.q_proj, m.k_proj) for p in part.parameters()}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": settings.weight_decay, "lr_ratio": 1.0},
        {"params": [], "weight_decay": 0.0, "lr_ratio": 1.0},
        {
            "params": [],
            "weight_decay": settings.weight_decay,
            "lr_ratio": settings.query_key_lr_ratio,
        },
    ]
    for parameter in model.parameters():
        if parameter.requires_grad:
            number = 2 if id(parameter) in slow else 0 if id(parameter) in linear else 1
            groups[number]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def learning_rate(step: int, total_steps: int, settings: TrainSettings) -> float:
    """Rate of the step that follows `step` finished ones: linear warm-up, then the schedule.

    cosine is lr · (r + (1 - r) · (1 + cos(π · progress)) / 2), with r the final ratio; linear is
    lr · (r + (1 - r) · (1 - progress)); wsd is warm-up, stable, decay (Hu et al., arXiv
    2404.06395), here with a linear decay.
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    if settings.schedule == "wsd":
        share = min(1.0, (total_steps - step) / max(1, settings.decay_steps))
    else:
        decay_steps = max(1, total_steps - settings.warmup_steps)
        progress = min(1.0, (step - settings.warmup_steps) / decay_steps)
        is_linear = settings.schedule == "linear"
        share = 1 - progress if is_linear else (1 + math.cos(math.pi * progress)) / 2
    return settings.lr * (settings.final_lr_ratio + (1 - settings.final_lr_ratio) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The rate of all groups, each by its ratio."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # torchao's, which compiled code reads
            group["lr"].fill_(lr * group["lr_ratio"])
        else:
            group["lr"] = lr * group["lr_ratio"]
