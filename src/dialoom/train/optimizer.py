"""AdamW, its parameter groups, and the learning rate as a pure function of the step."""

import math

import torch
from torch import nn

from dialoom.model import DiaModel
from dialoom.train.settings import TrainSettings


def build_optimizer(model: DiaModel, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101); decay on linear maps alone."""
    decayed = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if id(p) in decayed],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def learning_rate(step: int, total_steps: int, settings: TrainSettings) -> float:
    """Rate of the step that follows `step` finished ones: linear warm-up, then cosine or constant.

    lr · (r + (1 - r) · (1 + cos(π · progress)) / 2), with r the final ratio.
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    decay_steps = max(1, total_steps - settings.warmup_steps)
    progress = min(1.0, (step - settings.warmup_steps) / decay_steps)
    share = (1 + math.cos(math.pi * progress)) / 2
    return settings.lr * (settings.final_lr_ratio + (1 - settings.final_lr_ratio) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """One rate for all groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr
