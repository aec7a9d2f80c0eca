"""AdamW, its parameter groups, and the learning rate as a pure function of the step."""

import math
from typing import Any

import torch
from torch import nn

from dialoom.model import DiaModel
from dialoom.model.attention import CrossAttention, SelfAttention
from dialoom.train.settings import TrainSettings


def build_optimizer(model: DiaModel, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101); decay on linear maps alone.

    Query and key projections may learn more slowly: Dia's attention has scale 1.0, so for the same
    rate its scores move √E times as fast as those of attention with 1/√E, E^¼ for each of the two.
    A new model whose scores run away attends to single bytes before it knows to which.
    """
    attention = [m for m in model.modules() if isinstance(m, SelfAttention | CrossAttention)]
    slow = {id(linear.weight) for m in attention for linear in (m.q_proj, m.k_proj)}
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
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def learning_rate(step: int, total_steps: int, settings: TrainSettings) -> float:
    """Rate of the step that follows `step` finished ones: linear warm-up, then the schedule.

    cosine is lr · (r + (1 - r) · (1 + cos(π · progress)) / 2), with r the final ratio; wsd is
    warm-up, stable, decay (Hu et al., arXiv 2404.06395), here with a linear decay.
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
        share = (1 + math.cos(math.pi * progress)) / 2
    return settings.lr * (settings.final_lr_ratio + (1 - settings.final_lr_ratio) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The rate of all groups, each by its ratio."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_ratio"]
