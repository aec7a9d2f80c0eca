"""Clips that cannot be right by their length are found and drawn again."""

from collections.abc import Sequence

import numpy as np
import pytest
from helpers import small_model
from tiny_run import SPEC

from dialoom.checkpoint import ModelInfo
from dialoom.codec import Codes
from dialoom.errors import GenerationError
from dialoom.generate import SamplingSettings, Speech, Synthesizer
from dialoom.generate.guard import Fault, Guard, expected_s, find_fault, speak_guarded

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
        self.seen: list[SamplingSettings] = []

    def synthesize(self, texts: list[str], settings=None, **_: object) -> list[Speech]:
        self.seen.append(settings)
        return [speech_of(self._durations_s[settings.seed - 10])]


def test_the_next_seed_is_tried_until_nothing_is_wrong() -> None:
    synthesizer = Scripted([0, 0.5, 2.0, 2.5])
    take = speak_guarded(synthesizer, TEXT, SamplingSettings(seed=10), Guard(3))
    assert (take.seed, take.fault, take.num_draws) == (12, None, 3)
    assert take.speech.codes.num_frames == round(2.0 * RATE)
    assert {settings.max_seconds for settings in synthesizer.seen} == {9.0}


@pytest.mark.parametrize(
    ("durations_s", "seed", "fault"),
    [([0, 20, 0.5, 0.6], 12, Fault.TOO_FAST), ([0, 20, 0], 11, Fault.ENDLESS)],
)
def test_after_the_last_retry_the_least_fault_is_taken(
    durations_s: list[float], seed: int, fault: Fault
) -> None:
    retries = len(durations_s) - 1
    take = speak_guarded(Scripted(durations_s), TEXT, SamplingSettings(seed=10), Guard(retries))
    assert (take.seed, take.fault, take.num_draws) == (seed, fault, retries + 1)


def test_without_retries_a_fault_is_told_and_nothing_is_changed() -> None:
    synthesizer = Scripted([20.0])
    take = speak_guarded(synthesizer, TEXT, SamplingSettings(seed=10))
    assert (take.fault, take.num_draws) == (Fault.ENDLESS, 1)
    assert synthesizer.seen == [SamplingSettings(seed=10)]


def test_a_faster_model_is_expected_to_be_faster() -> None:
    assert find_fault(speech_of(0.9), RATE, bytes_per_second=20.0) is None


def test_retries_that_make_no_sense_are_refused() -> None:
    with pytest.raises(GenerationError, match="every seed says the same"):
        speak_guarded(Scripted([]), TEXT, SamplingSettings(temperature=0), Guard(2))
    with pytest.raises(GenerationError, match="retries is -1"):
        Guard(-1)
    with pytest.raises(GenerationError, match="bytes per second is 0"):
        Guard(bytes_per_second=0)
