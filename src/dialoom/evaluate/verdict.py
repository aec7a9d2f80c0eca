"""What a run's figures mean, in plain words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dialoom.observe import RunMetrics, SampleRecord, TrainRecord, ValidRecord, format_seconds

GUESSING_LOSS = math.log(1028)
"""Nats per target of whoever guesses uniformly among Dia's 1028 ids: 6.94."""

BY_HEART_LOSS = 1.0
"""Speech that was never heard is less predictable than this: lower is knowing it by heart."""

OVERFIT_RISE = 0.15
"""Nats over its best by which a validation loss has turned."""

RECENT_SHARE = 0.05
"""A single record is noise: "now" is the mean over this share of them, and of three at least."""


@dataclass(frozen=True)
class Figure:
    """One number at a glance."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The headline and the sentences under it."""

    headline: str
    sentences: tuple[str, ...]


def judge(metrics: RunMetrics) -> Verdict:
    """Where the run stands, from its losses and its last samples."""
    if not metrics.train:
        return Verdict("Nothing is trained yet.", ("The record holds no training step.",))
    start = metrics.train[0]
    now = recent_mean([record.loss for record in metrics.train])
    sentences = [
        f"The loss was {start.loss:.2f} nats per channel at step {start.step} and is {now:.2f} "
        f"at step {metrics.train[-1].step}; {GUESSING_LOSS:.2f} nats per channel is guessing."
    ]
    if metrics.valid:
        sentences.append(_describe_validation(metrics.valid))
    last = last_samples(metrics.samples)
    if last:
        stopped = sum(sample.stopped for sample in last)
        sentences.append(
            f"It stops by itself in {stopped} of {len(last)} samples at step {last[0].step}."
        )
    return Verdict(_headline(now, metrics.valid), tuple(sentences))


def figures(metrics: RunMetrics) -> tuple[Figure, ...]:
    """The numbers that one looks for first."""
    shown = _quality_figures(metrics.train)
    if metrics.valid:
        best = best_validation(metrics.valid)
        shown.insert(1, Figure("Best validation loss", f"{best.loss:.2f}", f"at step {best.step}"))
    shown += _effort_figures(metrics.train)
    shown.append(Figure("Time", format_seconds(metrics.seconds), "from first record to last"))
    return tuple(shown)


def recent_mean(values: Sequence[float]) -> float:
    """Mean of the last RECENT_SHARE of the values, without those that are not numbers."""
    count = max(3, round(RECENT_SHARE * len(values)))
    recent = [value for value in values[-count:] if math.isfinite(value)]
    return sum(recent) / len(recent) if recent else math.nan


def best_validation(valid: Sequence[ValidRecord]) -> ValidRecord:
    return min(valid, key=lambda r: r.loss if math.isfinite(r.loss) else math.inf)


def last_samples(samples: Sequence[SampleRecord]) -> list[SampleRecord]:
    """Those of the latest step at which the model spoke."""
    return [sample for sample in samples if sample.step == samples[-1].step]


def _quality_figures(train: Sequence[TrainRecord]) -> list[Figure]:
    if not train:
        return []
    loss = recent_mean([record.loss for record in train])
    codes_right = recent_mean([record.accuracy_channels[0] for record in train])
    ends_right = recent_mean([record.eos_recall for record in train])
    return [
        Figure("Training loss", f"{loss:.2f}", "nats per channel"),
        _share("Channel 0 right", codes_right, "of training targets"),
        _share("End of clip right", ends_right, "of training targets"),
    ]


def _effort_figures(train: Sequence[TrainRecord]) -> list[Figure]:
    if not train:
        return []
    heard_s = sum(record.audio_seconds for record in train)
    speed = median(record.audio_seconds_per_second for record in train)
    return [
        Figure("Steps", f"{train[-1].step:,}", f"{train[-1].epoch:.1f} epochs"),
        Figure("Speech heard", format_seconds(heard_s), "repeats counted"),
        Figure("Speed", f"{speed:.1f}", "seconds of audio per second"),
    ]


def _headline(loss: float, valid: Sequence[ValidRecord]) -> str:
    if not math.isfinite(loss):
        return "The loss is no longer a number."
    if loss > 0.95 * GUESSING_LOSS:
        return "It is still guessing."
    turned = valid and valid[-1].loss > best_validation(valid).loss + OVERFIT_RISE
    if loss < BY_HEART_LOSS:
        return "It knows its training clips by heart."
    if turned:
        return "It now learns its training clips, no longer speech."
    return "It is learning."


def _describe_validation(valid: Sequence[ValidRecord]) -> str:
    last, best = valid[-1], best_validation(valid)
    clips = f"{last.num_clips} clip{'s' if last.num_clips != 1 else ''} it was not trained on"
    if last.loss > best.loss + OVERFIT_RISE:
        return (
            f"On {clips} the loss is {last.loss:.2f}; it was best at step {best.step}, "
            f"{best.loss:.2f}, and has risen since."
        )
    return f"On {clips} the loss is {last.loss:.2f}."


def _share(label: str, share: float, note: str) -> Figure:
    return Figure(label, f"{share:.0%}" if math.isfinite(share) else "–", note)
