"""The verdict on records made up for it: the borders between what it tells apart."""

import math
from dataclasses import replace

import pytest

from dialoom.evaluate.standing import GUESSING_LOSS, Heard, Trend, figures
from dialoom.evaluate.verdict import Kind, Verdict, judge
from dialoom.observe import (
    EventRecord,
    RunMetrics,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.sequence import TokenLayout

STEPS = 100


def train(losses: list[float], *, eos_loss: float = 1.0) -> list[TrainRecord]:
    """Ten records, every ten steps, from loss to loss."""
    spread = [losses[min(i * len(losses) // 10, len(losses) - 1)] for i in range(10)]
    return [
        TrainRecord(
            step=10 * (i + 1),
            epoch=1.0,
            loss=loss,
            loss_channels=(loss, loss),
            accuracy_channels=(0.5, 0.5),
            eos_loss=eos_loss,
            eos_recall=0.5,
            lr=1e-4,
            grad_norm=1.0,
            audio_seconds=8.0,
            audio_seconds_per_second=16.0,
            seconds_left=1.0,
            peak_memory_gib=2.0,
        )
        for i, loss in enumerate(spread)
    ]


def valid(*losses: float, gain: float = 0.3) -> list[ValidRecord]:
    """From step 0 to the last, evenly."""
    steps = [round(STEPS * i / (len(losses) - 1)) for i in range(len(losses))]
    return [
        ValidRecord(step, loss, (loss, loss), (0.5, 0.5), 1.0, 0.5, num_clips=9, text_gain=gain)
        for step, loss in zip(steps, losses, strict=True)
    ]


def samples(*stopped: bool) -> list[SampleRecord]:
    return [
        SampleRecord(STEPS, f"s{i}", "[S1] Hello.", "a.wav", 86, has_stopped)
        for i, has_stopped in enumerate(stopped)
    ]


def bad_steps(count: int) -> list[EventRecord]:
    return [EventRecord(i, "the loss jumped to 9.00, above 5.00; clips: a") for i in range(count)]


HEALTHY = RunMetrics(train=train([5.0, 3.0]), valid=valid(5.0, 4.0, 3.5, 3.2))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, Kind.HEALTHY),
        ({"train": []}, Kind.EMPTY),
        ({"train": train([3.0, math.nan, math.nan])}, Kind.NOT_A_NUMBER),
        ({"train": train([6.94, 6.7]), "valid": valid(6.94, 6.7)}, Kind.GUESSING),
        ({"train": train([11.0, 9.0]), "valid": valid(11.0, 9.0)}, Kind.GUESSING),
        ({"train": train([6.0, 7.5]), "valid": []}, Kind.UNSTABLE),
        ({"train": train([3.0, 4.5]), "valid": []}, Kind.UNSTABLE),
        ({"train": train([3.0, 3.5]), "valid": valid(3.0, 3.5)}, Kind.UNSTABLE),
        ({"train": train([3.0, 3.5]), "valid": valid(3.0, math.nan)}, Kind.UNSTABLE),
        # audio dropout makes training harder than validation: no harm is done
        ({"train": train([3.6, 3.5]), "valid": valid(3.0, 2.8)}, Kind.HEALTHY),
        ({"events": bad_steps(6)}, Kind.UNSTABLE),
        ({"events": bad_steps(5)}, Kind.HEALTHY),
        ({"events": [EventRecord(9, "step 9: 10 bad steps in a row (…)")]}, Kind.UNSTABLE),
        ({"valid": valid(5.0, 4.0, 3.5, gain=0.0)}, Kind.NOT_READING),
        ({"valid": valid(6.9, 6.4, 6.2, gain=0.0)}, Kind.HEALTHY),  # knows no sound yet
        ({"valid": valid(5.0, 4.0, 3.5, gain=math.nan)}, Kind.HEALTHY),  # an early version's
        ({"train": train([5.0, 3.0], eos_loss=math.nan)}, Kind.NEVER_ENDING),
        ({"samples": samples(False, False)}, Kind.NEVER_ENDING),
        ({"samples": samples(False)}, Kind.HEALTHY),  # one may be chance
        ({"samples": samples(True, False, False)}, Kind.NEVER_ENDING),
        ({"samples": samples(True, True, False)}, Kind.HEALTHY),
        ({"speech": [SpeechRecord(STEPS, 8, 0.5, 0.4, 0.5, 5.0)]}, Kind.NEVER_ENDING),
        ({"speech": [SpeechRecord(STEPS, 8, 0.5, 0.9, 0.5, 5.0)]}, Kind.HEALTHY),
        ({"valid": valid(5.0, 3.5, 3.7)}, Kind.OVERFITTED),
        ({"valid": valid(5.0, 3.5, 3.6)}, Kind.HEALTHY),
        ({"valid": valid(5.0, 3.5, 3.52, 3.54, 3.56)}, Kind.OVERFITTED),
        ({"train": train([5.0, 0.5]), "valid": valid(5.0, 4.0)}, Kind.BY_HEART),
        ({"train": train([5.0, 0.5]), "valid": valid(5.0, 0.6)}, Kind.HEALTHY),
        ({"train": train([5.0, 0.5]), "valid": []}, Kind.BY_HEART),
    ],
)
def test_what_each_sign_means(change: dict[str, object], kind: Kind) -> None:
    verdict = judge(replace(HEALTHY, **change))
    assert verdict.kind is kind
    assert verdict.headline.endswith(".")
    assert verdict.sentences and verdict.advice


@pytest.mark.parametrize(
    ("own_gain", "other_loss", "other_gain", "kind"),
    [
        (0.1, 4.0, 0.5, Kind.WRONG_REVISION),
        (math.nan, 4.0, 0.5, Kind.WRONG_REVISION),
        (0.1, 4.95, 0.5, Kind.HEALTHY),  # within chance
        (-0.2, 4.0, -0.1, Kind.HEALTHY),  # better for not reading what is wrong
        (1.5, 4.0, 0.8, Kind.HEALTHY),  # better for being less sure of another voice
        (0.1, math.nan, math.nan, Kind.HEALTHY),
    ],
)
def test_the_other_revision_is_believed_where_it_reads_better(
    own_gain: float, other_loss: float, other_gain: float, kind: Kind
) -> None:
    base, *rest = HEALTHY.valid
    measured = replace(
        base,
        text_gain=own_gain,
        other_revision_loss=other_loss,
        other_revision_text_gain=other_gain,
    )
    assert judge(replace(HEALTHY, valid=[measured, *rest])).kind is kind


@pytest.mark.parametrize(
    ("losses", "trend", "headline", "sentence"),
    [
        ((5.0, 4.0, 3.5, 3.2), Trend.FALLING, "It is learning.", "is still falling"),
        ((5.0, 3.2, 3.2, 3.21), Trend.FLAT, "It has learnt, and no longer", "is flat"),
        ((5.0, 3.2, 3.2, 3.3), Trend.RISING, "It has learnt, and no longer", "is rising"),
    ],
)
def test_falling_flat_or_rising(
    losses: tuple[float, ...], trend: Trend, headline: str, sentence: str
) -> None:
    verdict = judge(replace(HEALTHY, valid=valid(*losses)))
    assert (verdict.kind, verdict.trend) == (Kind.HEALTHY, trend)
    assert verdict.headline.startswith(headline)
    assert f"Over the last third of the steps the validation loss {sentence}" in _text(verdict)
    assert ("Train on" in verdict.advice[0]) == (trend is Trend.FALLING)


def test_it_says_how_far_it_is_from_guessing_the_base_and_the_ceiling() -> None:
    heard = [
        Heard(step, name, 1.0, True, 1.0, distortion_db)
        for step, name, distortion_db in [
            (0, "a", 7.0), (0, "b", 8.0), (50, "a", 6.0), (100, "a", 5.0), (100, "b", 4.0),
        ]
    ]  # fmt: skip
    metrics = replace(
        HEALTHY,
        samples=samples(True, False, True),
        speech=[SpeechRecord(STEPS, 8, 0.5, 1.0, 0.75, 5.0)],
    )
    text = _text(judge(metrics, heard=heard))
    assert "was 5.00 nats per channel at step 10 and is 3.00 at step 100; 6.94 nats" in text
    assert "The base had 5.00 on them: it is 1.80 nats better now." in text
    assert "With another clip's text the loss of channel 0 is 0.30 nats higher" in text
    assert "It stops by itself in 2 of 3 samples at step 100." in text
    assert "Of 8 validation texts spoken at step 100, 50% sound nearest" in text
    assert "chance is 12%" in text
    assert "4.5 dB of mel-cepstral distortion" in text
    assert "from 7.5 dB before training; those themselves, at 0 dB" in text


def test_clips_that_made_it_jump_are_pointed_at() -> None:
    assert "Hear the clips" in judge(replace(HEALTHY, events=bad_steps(6))).advice[-1]
    worse = judge(replace(HEALTHY, train=train([3.0, 4.5]), valid=[]))
    assert not any("Hear the clips" in line for line in worse.advice)


def test_a_base_that_guesses_is_no_base() -> None:
    text = _text(judge(replace(HEALTHY, valid=valid(6.93, 4.0))))
    assert "The model that it began with was guessing on them, with 6.93." in text


def test_speech_heard_counts_the_steps_between_records() -> None:
    shown = {figure.label: figure.value for figure in figures(HEALTHY)}
    assert shown["Speech heard"] == "13 min 20 s"  # 100 steps of 8 s
    assert shown["Memory"] == "2.0 GiB"
    assert shown["The text tells"] == "0.30"


def test_guessing_is_uniform_over_the_vocabulary() -> None:
    assert math.log(TokenLayout().vocab_size) == GUESSING_LOSS


def _text(verdict: Verdict) -> str:
    return " ".join(verdict.sentences)
