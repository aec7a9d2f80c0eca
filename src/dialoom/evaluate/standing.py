"""Where a run stands, figure by figure: from guessing, from its base, from what can be reached."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from dialoom.observe import RunMetrics, SampleRecord, TrainRecord, ValidRecord, format_seconds

GUESSING_LOSS = math.log(1028)
"""Nats per target of whoever guesses uniformly among Dia's 1028 ids: 6.94."""

BY_HEART_LOSS = 1.0
"""Speech that was never heard is less predictable than this: lower is knowing it by heart."""

RECENT_SHARE = 0.05
"""A single record is noise: "now" is the mean over this share of them, and of three at least."""

REVISION_MARGIN = 0.1
"""Nats per target by which the other revision must be better, as in checkpoint/revision_probe."""

TREND = 0.02
"""Nats by which the loss moves in the last third of the steps, or it is flat."""


class Trend(StrEnum):
    """Of the loss in the last third of the steps."""

    FALLING = "falling"
    FLAT = "flat"
    RISING = "rising"


@dataclass(frozen=True)
class Figure:
    """One number at a glance."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Heard:
    """How one sample sounds.

    Attributes:
        step: at which it was spoken.
        name: of the sentence.
        seconds: how long it is.
        stopped: whether it ended by itself.
        length_ratio: its duration ÷ its recording's; None without a recording.
        distortion_db: mel-cepstral distortion against the recording as its codes sound; None
            without one, or where it is silent.
    """

    step: int
    name: str
    seconds: float
    stopped: bool
    length_ratio: float | None = None
    distortion_db: float | None = None


def standing(metrics: RunMetrics, trend: Trend, heard: Sequence[Heard]) -> tuple[str, ...]:
    """The sentences under the headline; the run has a training step at least."""
    return (*_of_loss(metrics, trend), *_of_text(metrics), *_of_end(metrics), *_of_sound(heard))


def figures(metrics: RunMetrics) -> tuple[Figure, ...]:
    """The numbers that one looks for first."""
    shown = _quality_figures(metrics.train)
    if metrics.valid:
        best = best_validation(metrics.valid)
        shown.insert(1, Figure("Best validation loss", f"{best.loss:.2f}", f"at step {best.step}"))
    told = [record.text_gain for record in metrics.valid if math.isfinite(record.text_gain)]
    if told:
        shown.append(Figure("The text tells", f"{told[-1]:.2f}", "nats per frame of channel 0"))
    shown += _effort_figures(metrics.train)
    shown.append(Figure("Time", format_seconds(metrics.seconds), "from first record to last"))
    return tuple(shown)


def trend_of(metrics: RunMetrics) -> Trend:
    """On the validation clips, which are the same every time; without two of them, in training."""
    trained = [(record.step, record.loss) for record in metrics.valid if record.step > 0]
    points = trained if len(trained) > 1 else [(r.step, r.loss) for r in metrics.train]
    finite = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if len(finite) < 2:
        return Trend.FLAT
    turn = finite[-1][0] * 2 / 3
    before = [loss for step, loss in finite if step <= turn] or [finite[0][1]]
    if points is trained:
        fall = before[-1] - finite[-1][1]
    else:
        fall = recent_mean(before) - recent_mean([loss for _, loss in finite])
    if abs(fall) <= TREND:
        return Trend.FLAT
    return Trend.FALLING if fall > 0 else Trend.RISING


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


def _of_loss(metrics: RunMetrics, trend: Trend) -> Iterator[str]:
    start, valid = metrics.train[0], metrics.valid
    now = recent_mean([record.loss for record in metrics.train])
    yield (
        f"The loss was {start.loss:.2f} nats per channel at step {start.step} and is {now:.2f} "
        f"at step {metrics.train[-1].step}; {GUESSING_LOSS:.2f} nats per channel is guessing."
    )
    if valid:
        yield _describe_validation(valid)
        if valid[0].step == 0 and len(valid) > 1:
            yield _from_base(valid[0], valid[-1])
    if len(valid) > 2 or (not valid and len(metrics.train) > 5):
        motion = {
            Trend.FALLING: "is still falling",
            Trend.FLAT: f"is flat, within {TREND:g} nats",
            Trend.RISING: "is rising",
        }
        loss = "validation loss" if valid else "loss"
        yield f"Over the last third of the steps the {loss} {motion[trend]}."


def _describe_validation(valid: Sequence[ValidRecord]) -> str:
    last, best = valid[-1], best_validation(valid)
    clips = f"{last.num_clips} clip{'s' if last.num_clips != 1 else ''} it was not trained on"
    if last.loss > best.loss + TREND:
        return (
            f"On {clips} the loss is {last.loss:.2f}; it was best at step {best.step}, "
            f"{best.loss:.2f}, and has risen since."
        )
    return f"On {clips} the loss is {last.loss:.2f}."


def _from_base(base: ValidRecord, last: ValidRecord) -> str:
    if base.loss > 0.95 * GUESSING_LOSS:
        return f"The model that it began with was guessing on them, with {base.loss:.2f}."
    change = base.loss - last.loss
    word = "better" if change > 0 else "worse"
    return f"The base had {base.loss:.2f} on them: it is {abs(change):.2f} nats {word} now."


def _of_text(metrics: RunMetrics) -> Iterator[str]:
    measured = [record for record in metrics.valid if math.isfinite(record.text_gain)]
    if not measured:
        return
    base, last = measured[0], measured[-1]
    told = f", {base.text_gain:.2f} before training" if base.step == 0 < last.step else ""
    yield (
        f"With another clip's text the loss of channel 0 is {abs(last.text_gain):.2f} nats "
        f"{'higher' if last.text_gain >= 0 else 'lower'}{told}: that is what the text tells it."
    )
    if base.loss - base.other_revision_loss > REVISION_MARGIN:
        yield (
            "Under the mathematics of the other revision the base has "
            f"{base.other_revision_loss:.2f}, and the text tells it "
            f"{base.other_revision_text_gain:.2f} nats."
        )


def _of_end(metrics: RunMetrics) -> Iterator[str]:
    if all(math.isnan(record.eos_loss) for record in metrics.train):
        yield "No training clip has an end."
    last = last_samples(metrics.samples)
    if last:
        stopped = sum(sample.stopped for sample in last)
        yield f"It stops by itself in {stopped} of {len(last)} samples at step {last[0].step}."
    if metrics.speech:
        speech = metrics.speech[-1]
        yield (
            f"Of {speech.num_utterances} validation texts spoken at step {speech.step}, "
            f"{speech.retrieval:.0%} sound nearest to their own recording (chance is "
            f"{1 / speech.num_utterances:.0%}), {speech.stopped:.0%} stop by themselves and "
            f"{speech.length:.0%} are about as long."
        )


def _of_sound(heard: Sequence[Heard]) -> Iterator[str]:
    """Against the codec's ceiling: the recordings as their codes sound are at 0 dB."""
    steps = sorted({one.step for one in heard if one.distortion_db is not None})
    if not steps:
        return
    first, last = (
        median(
            one.distortion_db for one in heard if one.step == step and one.distortion_db is not None
        )
        for step in (steps[0], steps[-1])
    )
    before = ""
    if steps[0] == 0 and len(steps) > 1:
        before = f", from {first:.1f} dB before training"
    yield (
        f"Its speech is {last:.1f} dB of mel-cepstral distortion from the recordings as their "
        f"codes sound{before}; those themselves, at 0 dB, are the codec's ceiling."
    )


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
    steps = [0, *(record.step for record in train)]
    heard_s = sum(
        record.audio_seconds * (record.step - before)
        for record, before in zip(train, steps, strict=False)
    )
    speed = median(record.audio_seconds_per_second for record in train)
    shown = [
        Figure("Steps", f"{train[-1].step:,}", f"{train[-1].epoch:.1f} epochs"),
        Figure("Speech heard", format_seconds(heard_s), "repeats counted"),
        Figure("Speed", f"{speed:.1f}", "seconds of audio per second"),
    ]
    memory = train[-1].peak_memory_gib
    if math.isfinite(memory):
        shown.append(Figure("Memory", f"{memory:.1f} GiB", "at most"))
    return shown


def _share(label: str, share: float, note: str) -> Figure:
    return Figure(label, f"{share:.0%}" if math.isfinite(share) else "–", note)
