"""Model and run ↔ disk."""

from dialoom.checkpoint.adapter_files import load_adapter_files
from dialoom.checkpoint.info import ModelInfo
from dialoom.checkpoint.load import load_model, load_pretrained, load_weights
from dialoom.checkpoint.pretrained import LoadedModel, save_pretrained
from dialoom.checkpoint.run_store import (
    RunStore,
    has_checkpoint,
    last_checkpoint,
    load_training_state,
)

__all__ = [
    "LoadedModel",
    "ModelInfo",
    "RunStore",
    "has_checkpoint",
    "last_checkpoint",
    "load_adapter_files",
    "load_model",
    "load_pretrained",
    "load_training_state",
    "load_weights",
    "save_pretrained",
]
