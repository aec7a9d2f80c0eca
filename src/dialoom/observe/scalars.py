"""Records → named numbers: every service that draws curves is given the same."""

import math
from collections.abc import Iterator

from dialoom.observe.records import SpeechRecord, TrainRecord, ValidRecord


def scalars(record: TrainRecord | ValidRecord | SpeechRecord) -> dict[str, float]:
    """What a record has to draw; what is not a number (no EOS in this batch) is left out."""
    match record:
        case TrainRecord():
            named = {**_losses("train", record), **dict(_training(record))}
        case ValidRecord():
            named = _losses("valid", record)
            named["valid/text_gain"] = record.text_gain
        case SpeechRecord():
            names = ("retrieval", "stopped", "length", "distortion_db")
            named = {f"speech/{name}": getattr(record, name) for name in names}
    return {name: value for name, value in named.items() if math.isfinite(value)}


def _losses(split: str, record: TrainRecord | ValidRecord) -> dict[str, float]:
    named = {
        f"{split}/loss/total": record.loss,
        f"{split}/eos/loss": record.eos_loss,
        f"{split}/eos/recall": record.eos_recall,
    }
    channels = {
        "loss/channel": record.loss_channels,
        "accuracy/channel": record.accuracy_channels,
        "eos/recall_channel": record.eos_recall_channels,
    }
    for name, values in channels.items():
        named |= {f"{split}/{name}_{channel}": value for channel, value in enumerate(values)}
    return named


def _training(record: TrainRecord) -> Iterator[tuple[str, float]]:
    yield "train/lr", record.lr
    yield "train/grad_norm", record.grad_norm
    yield "train/epoch", record.epoch
    for block, norm in record.block_norms.items():
        yield f"grad_norm/{block}", norm
    yield "speed/audio_seconds_per_second", record.audio_seconds_per_second
    yield "memory/peak_gib", record.peak_memory_gib
