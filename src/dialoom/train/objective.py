"""What a step minimises, from the settings."""

from contextlib import AbstractContextManager

import torch

from dialoom.loss import head_loss
from dialoom.model import DiaModel
from dialoom.train.alignment import AlignmentGuide
from dialoom.train.compilation import compile_blocks, compiled_head_loss
from dialoom.train.precision import loss_scaler
from dialoom.train.recomputation import recompute_layers
from dialoom.train.settings import TrainSettings
from dialoom.train.step import Objective


def build_objective(
    model: DiaModel, settings: TrainSettings, autocast: AbstractContextManager[None]
) -> Objective:
    """Wires loss, guidance, recomputation and compilation; the model's layers change in place."""
    weights, device = settings.channel_weights, model.logits_dense.weight.device
    guide = None
    if settings.guided_attention > 0:
        guide = AlignmentGuide(model, weight=settings.guided_attention)
    watched = () if guide is None else guide.watched
    recompute_layers(model, settings.recompute, watched=watched)
    if settings.compile:
        compile_blocks(model, watched=watched)
    return Objective(
        clip_norm=settings.clip_norm,
        channel_weights=None if weights is None else torch.tensor(weights, device=device),
        autocast=autocast,
        guide=guide,
        loss=compiled_head_loss() if settings.compile else head_loss,
        scaler=loss_scaler(device, settings),
    )
