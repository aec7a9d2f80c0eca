"""Clips that cannot be right by their length are found and drawn again."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from helpers import small_model
from tiny_run import SPEC

from dialoom.checkpoint import ModelInfo
from dialoom.codec import Codes
from dialoom.errors import GenerationError
from dialoom.generate import SamplingSettings, Speech, Synthesizer
from dialoom.generate.guard import (
    Fault,
    Guard,
    Take,
    Wish,
    expected_s,
    find_fault,
    speak_guarded,
)
from dialoom.generate.request import Generated, Request

TEXT = "[S1] This sentence has thirty bytes"
RATE = SPEC.frames_per_second


def speech_of(duration_s: float, *, stopped: bool = True, text: str = TEXT) -> Speech:
    return Speech(text, Codes(np.zeros((round(duration_s * RATE), 9), np.uint16)), stopped)


@pytest.mark.parametrize(
    ("duration_s", "stopped", "fault"),
    [
        (0.0, True, Fault.EMPTY),
        (0.09, True, Fault.EMPTY),
        (0.9, True, Fault.TOO_FAST),
        (1.1, True, None),
        (2.0, True, None),
        (2.0, False, None),  # cut by the limit that a person set
        (4.1, False, Fault.ENDLESS),
        (8.9, True, None),
        (9.1, True, Fault.ENDLESS),
    ],
)
def test_faults_by_length(duration_s: float, stopped: bool, fault: Fault | None) -> None:
    assert expected_s(TEXT) == 2.0, "tags are not said"
    assert find_fault(speech_of(duration_s, stopped=stopped), RATE) is fault


def test_a_single_word_may_be_short() -> None:
    assert find_fault(speech_of(0.2, text="[S1] No."), RATE) is None


class Scripted(Synthesizer):
    """Speech of a given length for each seed from 10 on."""

    def __init__(self, durations_s: Sequence[float]) -> None:
        super().__init__(small_model(), ModelInfo(codec=SPEC))
        self._durations_s = durations_s
        self.seen: list[tuple[int, int | None]] = []

    def generate(self, requests: Sequence[Request], *_: object, **__: object) -> list[Generated]:
        self.seen += [(request.seed, request.max_frames) for request in requests]
        frames = [round(self._durations_s[request.seed - 10] * RATE) for request in requests]
        return [Generated(torch.zeros(count, 9, dtype=torch.long), True) for count in frames]


def speak(
    synthesizer: Synthesizer, guard: Guard | None = None, settings: SamplingSettings | None = None
) -> Take:
    wish = Wish(TEXT, settings or SamplingSettings(seed=10), guard or Guard())
    [take] = speak_guarded(synthesizer, [wish])
    return take


def test_the_next_seed_is_tried_until_nothing_is_wrong() -> None:
    synthesizer = Scripted([0, 0.5, 2.0, 2.5])
    take = speak(synthesizer, Guard(3))
    assert (take.seed, take.fault, take.num_draws) == (12, None, 3)
    assert take.speech.codes.num_frames == round(2.0 * RATE)
    assert synthesizer.seen == [(seed, round(9.0 * RATE)) for seed in (10, 11, 12)]


@pytest.mark.parametrize(
    ("durations_s", "seed", "fault"),
    [([0, 20, 0.5, 0.6], 12, Fault.TOO_FAST), ([0, 20, 0], 11, Fault.ENDLESS)],
)
def test_after_the_last_retry_the_least_fault_is_taken(
    durations_s: list[float], seed: int, fault: Fault
) -> None:
    retries = len(durations_s) - 1
    take = speak(Scripted(durations_s), Guard(retries))
    assert (take.seed, take.fault, take.num_draws) == (seed, fault, retries + 1)


def test_only_those_with_a_fault_are_drawn_again() -> None:
    synthesizer = Scripted([2.0, 0, 2.5, 20.0, 0])
    wishes = [
        Wish(TEXT, SamplingSettings(seed=seed), Guard(retries))
        for seed, retries in ((10, 5), (11, 5), (13, 1), (13, 0))
    ]
    takes = speak_guarded(synthesizer, wishes)
    assert [(take.seed, take.num_draws) for take in takes] == [(10, 1), (12, 2), (13, 2), (13, 1)]
    assert [seed for seed, _ in synthesizer.seen] == [10, 11, 13, 13, 12, 14]


def test_without_retries_a_fault_is_told_and_nothing_is_changed() -> None:
    synthesizer = Scripted([20.0])
    take = speak(synthesizer)
    assert (take.fault, take.num_draws) == (Fault.ENDLESS, 1)
    assert synthesizer.seen == [(10, None)]


def test_a_faster_model_is_expected_to_be_faster() -> None:
    assert find_fault(speech_of(0.9), RATE, bytes_per_second=20.0) is None


def test_retries_that_make_no_sense_are_refused() -> None:
    with pytest.raises(GenerationError, match="every seed says the same"):
        speak(Scripted([]), Guard(2), SamplingSettings(temperature=0))
    with pytest.raises(GenerationError, match="retries is -1"):
        Guard(-1)
    with pytest.raises(GenerationError, match="bytes per second is 0"):
        Guard(bytes_per_second=0)
