"""Batches → a better model."""

from dialoom.train.batching import packs
from dialoom.train.feed import BatchFeed
from dialoom.train.precision import resolve_device, use_tf32
from dialoom.train.settings import TrainSettings
from dialoom.train.trainer import Outcome, Probe, Spoken, Trainer, planned_steps
from dialoom.train.ways import check_ways, num_trained, prepare_model

__all__ = [
    "BatchFeed",
    "Outcome",
    "Probe",
    "Spoken",
    "TrainSettings",
    "Trainer",
    "check_ways",
    "num_trained",
    "packs",
    "planned_steps",
    "prepare_model",
    "resolve_device",
    "use_tf32",
]
