"""Batches → a better model."""

from dialoom.train.batching import packs
from dialoom.train.best import SPEECH_FIGURES
from dialoom.train.distributed import Ranks, join_ranks
from dialoom.train.feed import BatchFeed
from dialoom.train.oom import refuse_out_of_memory
from dialoom.train.optimizer import moment_bytes
from dialoom.train.outcome import Outcome
from dialoom.train.precision import resolve_device, use_tf32
from dialoom.train.probe import Probe, Spoken
from dialoom.train.settings import TrainSettings
from dialoom.train.trainer import Trainer, planned_steps
from dialoom.train.ways import check_ways, num_trained, prepare_model

__all__ = [
    "SPEECH_FIGURES",
    "BatchFeed",
    "Outcome",
    "Probe",
    "Ranks",
    "Spoken",
    "TrainSettings",
    "Trainer",
    "check_ways",
    "join_ranks",
    "moment_bytes",
    "num_trained",
    "packs",
    "planned_steps",
    "prepare_model",
    "refuse_out_of_memory",
    "resolve_device",
    "use_tf32",
]
