"""The ways to train: a model and a recipe → what of it trains, in which types."""

import torch

from dialoom.errors import RecipeError
from dialoom.model import DiaModel
from dialoom.train.lora import attach_adapter, to_bf16
from dialoom.train.optimizer import adamw_8bit
from dialoom.train.settings import TrainSettings
from dialoom.train.trained_part import freeze


def check_ways(settings: TrainSettings, *, base: str | None) -> None:
    """Refuses early what could only fail once the model is loaded.

    Raises:
        RecipeError: an adapter without a base, or a package is missing.
    """
    if settings.lora is not None and base is None:
        raise RecipeError("train.lora is an adapter on a base: name one in model.base")
    if settings.optimizer == "adamw8bit":
        adamw_8bit()


def prepare_model(model: DiaModel, settings: TrainSettings, *, base: str | None) -> None:
    """Chooses what trains, and the types that the weights lie in.

    Args:
        model: in any one type, on the CPU; changed in place.
        settings: of the training.
        base: what it was loaded from; None for a new model.

    Raises:
        RecipeError: a name in `freeze` or `lora.targets` fits nothing.
    """
    model.float()
    if settings.lora is not None:
        assert base is not None, "check_ways refused it"
        attach_adapter(model, settings.lora, base=base, seed=settings.seed)
    freeze(model, settings.freeze)
    if settings.weights == "bf16":
        to_bf16(model)


def num_trained(model: torch.nn.Module) -> int:
    """Weights that have a gradient."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
