"""The measures of speech on cases where the answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fake_speech import fake_sentence

from dialoom.audio import Waveform
from dialoom.evaluate.speech import (
    References,
    SpeechMeasures,
    Utterance,
    summarise,
)

NUM_SENTENCES = 12


@pytest.fixture(scope="module")
def references() -> References:
    return References([fake_sentence(seed) for seed in range(NUM_SENTENCES)])


def test_the_recording_itself(references: References) -> None:
    for index in range(NUM_SENTENCES):
        measures = references.measure(index, Utterance(fake_sentence(index)))
        assert measures.distortion_db == pytest.approx(0, abs=1e-3)
        assert measures.is_nearest
        assert measures.length_ratio == 1
        assert measures.stopped and not measures.empty


def test_another_sentence_is_far_and_retrieves_its_own(references: References) -> None:
    wrong = Utterance(fake_sentence(3))
    measures = references.measure(5, wrong)
    assert measures.distortion_db > 4
    assert not measures.is_nearest
    assert references.measure(3, wrong).is_nearest


def test_a_faster_reading_is_the_same_sentence(references: References) -> None:
    for index in range(0, NUM_SENTENCES, 3):
        fast = Utterance(fake_sentence(index, speed=1.2))
        measures = references.measure(index, fast)
        others = [references.measure(i, fast) for i in range(NUM_SENTENCES) if i != index]
        assert measures.length_ratio == pytest.approx(1 / 1.2, abs=0.01)
        assert measures.distortion_db < 0.5 * min(other.distortion_db for other in others)
        assert measures.is_nearest


def test_another_pitch_is_the_same_sentence(references: References) -> None:
    for index in range(NUM_SENTENCES):
        assert references.measure(index, Utterance(fake_sentence(index, pitch_hz=130))).is_nearest


def test_noise_is_no_sentence(references: References) -> None:
    samples = np.random.default_rng(0).normal(scale=0.1, size=16_000).astype(np.float32)
    measures = references.measure(0, Utterance(Waveform(samples, 16_000)))
    assert measures.distortion_db > 10


@pytest.mark.parametrize(
    "waveform",
    [
        None,
        Waveform(np.zeros(0, np.float32), 16_000),
        Waveform(np.zeros(16_000, np.float32), 16_000),
        Waveform(np.full(800, 0.5, np.float32), 16_000),
    ],
    ids=["nothing", "no samples", "silence", "a click of 0.05 s"],
)
def test_what_holds_no_speech_is_empty_and_finds_nothing(
    references: References, waveform: Waveform | None
) -> None:
    measures = references.measure(0, Utterance(waveform))
    assert measures.empty and not measures.is_nearest
    assert math.isnan(measures.distortion_db)
    assert measures.length_ratio == 0


def test_two_equal_recordings_are_no_retrieval() -> None:
    clip = fake_sentence(0)
    assert not References([clip, clip]).measure(0, Utterance(clip)).is_nearest


def test_what_ran_on_is_told() -> None:
    measures = References([fake_sentence(0)]).measure(0, Utterance(fake_sentence(0), stopped=False))
    assert not measures.stopped


GOOD = SpeechMeasures(
    distortion_db=5.0, is_nearest=True, length_ratio=1.0, stopped=True, empty=False
)


def test_summary_counts_everything_and_takes_distortion_of_speech_alone() -> None:
    summary = summarise(
        [
            GOOD,
            replace(GOOD, distortion_db=7.0, length_ratio=1.25),
            replace(GOOD, distortion_db=30.0, is_nearest=False, stopped=False, length_ratio=3.0),
            SpeechMeasures(math.nan, False, 0.0, True, empty=True),
        ]
    )
    assert summary.num_utterances == 4
    assert (summary.retrieval_top1, summary.stopped, summary.empty) == (0.5, 0.75, 0.25)
    assert (summary.length_within, summary.median_length_ratio) == (0.5, 1.125)
    assert summary.median_distortion_db == 7.0


def test_summary_of_nothing_is_not_a_number() -> None:
    summary = summarise([])
    assert summary.num_utterances == 0 and math.isnan(summary.retrieval_top1)
    assert math.isnan(summary.median_distortion_db) and math.isnan(summary.median_length_ratio)
