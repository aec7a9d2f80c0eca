"""What a run's figures mean: what became of it, in a word, in plain sentences, and what to try."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean

from dialoom.evaluate.standing import (
    BY_HEART_LOSS,
    GUESSING_LOSS,
    REVISION_MARGIN,
    Heard,
    Trend,
    best_validation,
    last_samples,
    recent_mean,
    standing,
    trend_of,
)
from dialoom.observe import RunMetrics, ValidRecord
from dialoom.observe.records import BAD_STEPS, JUMPED, NOT_FINITE

OVERFIT_RISE = 0.15
"""Nats over its best by which a validation loss has turned at once."""

SLOW_OVERFIT_RISE, SLOW_OVERFIT_COUNT = 0.03, 3
"""Or these nats, and so many validations since the best."""

WORSE_THAN_BASE = 0.2
"""Nats by which training and validation are above the base before training is called harmful."""

BAD_STEPS_SHARE = 0.05
"""Of steps whose loss jumped or whose gradient was not finite, from where on a run is unstable."""

TEXT_GAIN = 0.02
"""Nats per target of channel 0 under which the text tells a model nothing. A small model that reads
has 0.3 (benchmarks/results/2026-11-22-base-model.md)."""

KNOWS_SOUND = 1.0
"""Nats under guessing from where on a model has learnt enough that it could read and end."""

ENDS_KNOWN = 0.05
"""Of the validation clips' ends: fewer are as good as none."""


class Kind(StrEnum):
    """What became of a run; the first that fits."""

    EMPTY = "empty"
    NOT_A_NUMBER = "not a number"
    WRONG_REVISION = "wrong revision"
    UNSTABLE = "unstable"
    GUESSING = "guessing"
    NOT_READING = "not reading"
    NEVER_ENDING = "never ending"
    BY_HEART = "by heart"
    OVERFITTED = "overfitted"
    HEALTHY = "healthy"


@dataclass(frozen=True)
class Verdict:
    """The judgement on a run.

    Attributes:
        kind: in a word, for programs.
        trend: of the loss in the last third of the steps.
        headline: in a sentence.
        sentences: where it stands: against guessing, the base, the ceiling; does it read and end.
        advice: what to try next, the most promising first.
    """

    kind: Kind
    trend: Trend
    headline: str
    sentences: tuple[str, ...]
    advice: tuple[str, ...]


def judge(metrics: RunMetrics, *, heard: Sequence[Heard] = ()) -> Verdict:
    """What became of a run, from its record and from how its samples sound."""
    kind, trend = diagnose(metrics), trend_of(metrics)
    if kind is Kind.EMPTY:
        sentences: tuple[str, ...] = ("The record holds no training step.",)
    else:
        sentences = standing(metrics, trend, heard)
    headline = _HEADLINES[kind]
    if kind is Kind.HEALTHY and trend is not Trend.FALLING:
        headline = "It has learnt, and no longer improves."
    return Verdict(kind, trend, headline, sentences, _advice(kind, trend, metrics))


def diagnose(metrics: RunMetrics) -> Kind:
    """The first of the kinds that fits."""
    if not metrics.train:
        return Kind.EMPTY
    return next((kind for kind, fits in _SIGNS.items() if fits(metrics)), Kind.HEALTHY)


def _is_no_number(metrics: RunMetrics) -> bool:
    return not math.isfinite(_training_loss(metrics))


def _has_wrong_revision(metrics: RunMetrics) -> bool:
    """The texts must tell the other revision something, and more than they tell the run's.

    Weights that read texts which belong to other recordings do better where they cannot read, and
    so do those that are sure of a voice which is not the data's.
    """
    base = _base(metrics)
    return (
        base is not None
        and base.other_revision_loss < base.loss - REVISION_MARGIN
        and base.other_revision_text_gain > TEXT_GAIN
        and not base.text_gain >= base.other_revision_text_gain
    )


def _is_unstable(metrics: RunMetrics) -> bool:
    """Worse than before it was trained, worse than guessing, or too many bad steps."""
    now, base = _training_loss(metrics), _base(metrics)
    bad = [event for event in metrics.events if event.message.startswith((NOT_FINITE, JUMPED))]
    broke_off = any(BAD_STEPS in event.message for event in metrics.events)
    if broke_off or len(bad) > max(2, BAD_STEPS_SHARE * metrics.train[-1].step):
        return True
    start = metrics.train[0].loss if base is None else base.loss
    if now > max(GUESSING_LOSS, start) + WORSE_THAN_BASE:
        return True
    if base is None or metrics.valid[-1] is base:
        return now > start + KNOWS_SOUND
    limit = base.loss + WORSE_THAN_BASE
    return now > limit and not metrics.valid[-1].loss < limit


def _is_guessing(metrics: RunMetrics) -> bool:
    return _training_loss(metrics) > 0.95 * GUESSING_LOSS


def _does_not_read(metrics: RunMetrics) -> bool:
    """In the mean of the later half of the validations, because a single one is noise."""
    trained = [r for r in metrics.valid if r.step > 0 and math.isfinite(r.text_gain)]
    later = trained[len(trained) // 2 :]
    if not later or later[-1].loss_channels[0] > GUESSING_LOSS - KNOWS_SOUND:
        return False
    return mean(record.text_gain for record in later) < TEXT_GAIN


def _never_ends(metrics: RunMetrics) -> bool:
    """No ends in the data, none recalled, or most that is spoken runs on to the limit."""
    if all(math.isnan(record.eos_loss) for record in metrics.train):
        return True
    last = last_samples(metrics.samples)
    num_stopped = sum(sample.stopped for sample in last)
    if len(last) > 1 and (num_stopped == 0 or (len(last) > 2 and 2 * num_stopped < len(last))):
        return True
    if metrics.speech and metrics.speech[-1].stopped < 0.5:
        return True
    valid = metrics.valid[-1] if metrics.valid else None
    knows_sound = valid is not None and valid.loss < GUESSING_LOSS - KNOWS_SOUND
    return knows_sound and valid is not None and valid.eos_recall < ENDS_KNOWN


def _is_by_heart(metrics: RunMetrics) -> bool:
    loss = _training_loss(metrics)
    unheard = metrics.valid[-1].loss if metrics.valid else math.inf
    return loss < BY_HEART_LOSS and unheard > loss + BY_HEART_LOSS


def _is_overfitted(metrics: RunMetrics) -> bool:
    trained = [record for record in metrics.valid if record.step > 0]
    if not trained:
        return False
    best, last = best_validation(trained), trained[-1]
    rise, since = last.loss - best.loss, len(trained) - 1 - trained.index(best)
    return rise > OVERFIT_RISE or (rise > SLOW_OVERFIT_RISE and since >= SLOW_OVERFIT_COUNT)


_SIGNS: dict[Kind, Callable[[RunMetrics], bool]] = {
    Kind.NOT_A_NUMBER: _is_no_number,
    Kind.WRONG_REVISION: _has_wrong_revision,
    Kind.UNSTABLE: _is_unstable,
    Kind.GUESSING: _is_guessing,
    Kind.NOT_READING: _does_not_read,
    Kind.NEVER_ENDING: _never_ends,
    Kind.BY_HEART: _is_by_heart,
    Kind.OVERFITTED: _is_overfitted,
}
"""In the order in which they hide each other: who cannot read is not asked whether it overfits."""

_HEADLINES = {
    Kind.EMPTY: "Nothing is trained yet.",
    Kind.NOT_A_NUMBER: "The loss is no longer a number.",
    Kind.WRONG_REVISION: "The base's weights are of the other revision.",
    Kind.UNSTABLE: "Training makes it worse.",
    Kind.GUESSING: "It is still guessing.",
    Kind.NOT_READING: "It learns the sound, but does not read the text.",
    Kind.NEVER_ENDING: "It does not know where to stop.",
    Kind.BY_HEART: "It knows its training clips by heart.",
    Kind.OVERFITTED: "It now learns its training clips, no longer speech.",
    Kind.HEALTHY: "It is learning.",
}

_ADVICE: dict[Kind, tuple[str, ...]] = {
    Kind.EMPTY: ("Look again after the first step.",),
    Kind.NOT_A_NUMBER: (
        "Go on from the last checkpoint before it with a lower train.lr.",
        "If that does not help: train.precision=fp32.",
    ),
    Kind.WRONG_REVISION: (
        "Start anew with the other model.revision: 0626 or 2025-04. What this run has learnt so "
        "far is to undo the damage.",
        "dialoom convert --revision auto --probe CLIP tells the revision of weights for sure.",
    ),
    Kind.UNSTABLE: (
        "Start anew with a tenth of train.lr; 1e-5 to 2e-5 is usual for fine-tuning Dia.",
        "Warm up for longer: train.warmup_steps.",
    ),
    Kind.GUESSING: (
        "Early in a new model's training this is normal: train on.",
        "After a thousand steps it is not: raise train.lr, or look whether the codes are those of "
        "the base's codec.",
    ),
    Kind.NOT_READING: (
        "Look whether the transcripts belong to their recordings: dialoom doctor CORPUS, and hear "
        "some clips beside their text.",
        "If they do and the model began from nothing, it may still learn to read: "
        "train.audio_dropout=0.3 and train.guided_attention=20 help.",
        "If it could read before: train.lr is too high.",
    ),
    Kind.NEVER_ENDING: (
        "Clips must end where their text ends: prepare whole sentences, not pieces of equal "
        "length, and hear the ends of some.",
        "If the base did not stop either: evaluate.temperature 1.2 to 1.3, evaluate.cfg_scale 3, a "
        "larger evaluate.max_seconds.",
    ),
    Kind.BY_HEART: (
        "Take an earlier checkpoint: hear the samples of each.",
        "More speech, fewer train.epochs, or an adapter: train.lora with dropout=0.1.",
    ),
    Kind.OVERFITTED: (
        "Take checkpoints/best: it is from before the turn.",
        "More speech, fewer train.epochs, or train.early_stopping_patience=3.",
        "Speech may get better for a while after the loss has turned: train.best_by=retrieval "
        "chooses by what is heard.",
    ),
}


def _advice(kind: Kind, trend: Trend, metrics: RunMetrics) -> tuple[str, ...]:
    if kind is Kind.UNSTABLE and any("clips: " in event.message for event in metrics.events):
        return (*_ADVICE[kind], "Hear the clips that the events below name.")
    if kind is not Kind.HEALTHY:
        return _ADVICE[kind]
    listen = "Hear the samples beside their recordings: the lowest loss is not always the best."
    if trend is Trend.FALLING:
        return ("Train on: the loss still falls. Give a larger train.steps and --resume.", listen)
    more = "More speech helps most; else twice the train.lr, or more of the weights."
    return (listen, more) if metrics.samples else (more,)


def _training_loss(metrics: RunMetrics) -> float:
    return recent_mean([record.loss for record in metrics.train])


def _base(metrics: RunMetrics) -> ValidRecord | None:
    """The validation before the first step."""
    return metrics.valid[0] if metrics.valid and metrics.valid[0].step == 0 else None
