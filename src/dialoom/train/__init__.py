"""Batches → a better model."""

from dialoom.train.batching import packs
from dialoom.train.feed import BatchFeed
from dialoom.train.precision import resolve_device
from dialoom.train.settings import TrainSettings
from dialoom.train.trainer import Outcome, Probe, Spoken, Trainer, planned_steps

__all__ = [
    "BatchFeed",
    "Outcome",
    "Probe",
    "Spoken",
    "TrainSettings",
    "Trainer",
    "packs",
    "planned_steps",
    "resolve_device",
]
