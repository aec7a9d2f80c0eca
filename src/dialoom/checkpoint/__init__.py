"""Model and run ↔ disk."""

from dialoom.checkpoint.info import ModelInfo
from dialoom.checkpoint.pretrained import (
    LoadedModel,
    load_pretrained,
    load_weights,
    save_pretrained,
)
from dialoom.checkpoint.run_store import RunStore, last_checkpoint, load_training_state

__all__ = [
    "LoadedModel",
    "ModelInfo",
    "RunStore",
    "last_checkpoint",
    "load_pretrained",
    "load_training_state",
    "load_weights",
    "save_pretrained",
]
