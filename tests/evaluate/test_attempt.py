"""What is measured of an utterance, with judges whose answers are known."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import jiwer
import numpy as np
import pytest
from parrot import NUM_CLIPS, Parrot, write_sentences

from dialoom.audio import Waveform
from dialoom.audio.transcribe import Transcriber, Transcript
from dialoom.data import Corpus
from dialoom.evaluate.attempt import Attempt
from dialoom.evaluate.evaluation import Evaluation, evaluate_model
from dialoom.evaluate.figures import Figures, count_up
from dialoom.evaluate.judges import Judges, OpinionModel, SpeakerModel
from dialoom.evaluate.material import EvaluateOptions
from dialoom.evaluate.record import plain, restore
from dialoom.evaluate.words import count_errors

OPTIONS = EvaluateOptions(split="all", seeds=1, voice_prompt=True)
HEARD = {0: "number zero", 1: "number 1", 2: "", 3: "a number 3", 4: "4", 5: "number 5"}


class KnownTranscriber(Transcriber):
    """Hears how long a clip is, and counts."""

    def __init__(self) -> None:
        self.num_windows = 0

    @property
    def name(self) -> str:
        return "known"

    def transcribe(self, waveforms: Sequence[Waveform], language: str | None) -> list[Transcript]:
        self.num_windows += len(waveforms)
        return [Transcript(f"{w.duration_s:.4f}", 1.0) for w in waveforms]


class LengthSpeaker(SpeakerModel):
    """The voice is the length: an angle, 1 rad a second."""

    @property
    def name(self) -> str:
        return "length"

    def embed(self, waveform: Waveform) -> np.ndarray:
        angle = waveform.duration_s
        return np.array([math.cos(angle), math.sin(angle)], np.float32)


class LengthOpinion(OpinionModel):
    @property
    def name(self) -> str:
        return "length"

    def score(self, waveform: Waveform) -> float:
        return 1 + waveform.duration_s


JUDGES = Judges(KnownTranscriber(), LengthSpeaker(), LengthOpinion())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_sentences(tmp_path_factory.mktemp("attempt"))


@pytest.fixture(scope="module")
def found(corpus: Corpus) -> Evaluation:
    return evaluate_model(Parrot(corpus, share=0.5), corpus, OPTIONS, judges=JUDGES)


def test_the_end_is_as_early_as_frames_are_missing(found: Evaluation, corpus: Corpus) -> None:
    lengths = {corpus[i].id: corpus[i].codes.num_frames for i in range(NUM_CLIPS)}
    for attempt in found.attempts:
        num_frames = lengths[attempt.clip_id]
        assert attempt.frames_late == round(0.5 * num_frames) - num_frames < 0
    assert all(attempt.frames_late == 0 for attempt in found.ceiling)


def test_characters_are_those_that_are_said(found: Evaluation, corpus: Corpus) -> None:
    """ "Number 3." are nine; the tag is none."""
    fps = corpus.info.codec.frames_per_second
    lengths = {corpus[i].id: corpus[i].codes.num_frames for i in range(NUM_CLIPS)}
    for attempt in (*found.attempts, *found.ceiling):
        duration_s = (lengths[attempt.clip_id] + attempt.frames_late) / fps
        assert attempt.characters_per_second == pytest.approx(9 / duration_s, rel=0.02)


def test_the_voice_is_compared_with_the_reference_or_the_prompt(
    found: Evaluation, corpus: Corpus
) -> None:
    fps = corpus.info.codec.frames_per_second
    lengths = {corpus[i].id: corpus[i].codes.num_frames for i in range(NUM_CLIPS)}
    for attempt in found.attempts:
        own_s = (lengths[attempt.clip_id] + attempt.frames_late) / fps
        other_s = lengths[attempt.prompt_id or attempt.clip_id] / fps
        assert attempt.similarity == pytest.approx(math.cos(own_s - other_s), abs=1e-3)
        assert attempt.opinion == pytest.approx(1 + own_s, abs=1e-3)
    for attempt in found.ceiling:
        assert math.isnan(attempt.similarity) == (attempt.prompt_id is None)


def test_pitch_is_that_of_the_fake_voice(found: Evaluation) -> None:
    for attempt in (*found.attempts, *found.ceiling):
        assert attempt.pitch.median_hz == pytest.approx(110, rel=0.03)
        assert abs(attempt.pitch_offset.semitones) < 0.5


def test_silence_is_not_judged(corpus: Corpus) -> None:
    listener = KnownTranscriber()
    silent = evaluate_model(
        Parrot(corpus, share=0.0), corpus, OPTIONS, judges=replace(JUDGES, transcriber=listener)
    )
    assert listener.num_windows == NUM_CLIPS, "the references alone"
    for attempt in silent.attempts:
        assert attempt.measures.empty
        assert attempt.words is not None and attempt.words.word_error_rate == 1
        others = (attempt.similarity, attempt.opinion, attempt.characters_per_second)
        assert all(map(math.isnan, (*others, attempt.pitch.voiced)))


def _with_words(attempts: Sequence[Attempt]) -> list[Attempt]:
    heard = {f"clip-{number}": text for number, text in HEARD.items()}
    return [
        replace(attempt, words=count_errors(attempt.text, heard[attempt.clip_id]))
        for attempt in attempts
        if attempt.prompt_id is None
    ]


def _figures(rows: Sequence[Sequence[Attempt]]) -> Figures:
    return count_up(rows, num_compared=1, ceiling=rows[-1])


def test_both_conventions_of_error_rates_are_jiwers(found: Evaluation) -> None:
    attempts = _with_words(found.attempts)
    texts = [f"number {number}" for number in HEARD]
    figures = _figures([attempts, attempts]).estimates
    assert figures["wer"][0].value == pytest.approx(jiwer.wer(texts, list(HEARD.values())))
    pairs = zip(texts, HEARD.values(), strict=True)
    mean = np.mean([jiwer.wer(text, heard) for text, heard in pairs])
    assert figures["wer_mean"][0].value == pytest.approx(mean)
    squeezed = [[text.replace(" ", "") for text in side] for side in (texts, HEARD.values())]
    assert figures["cer"][0].value == pytest.approx(jiwer.cer(*squeezed))
    assert figures["wer"][0].low < figures["wer"][0].value < figures["wer"][0].high


@pytest.mark.parametrize(("num_with_value", "is_certain"), [(1, False), (5, False), (6, True)])
def test_clips_without_a_value_make_nothing_certain(
    found: Evaluation, num_with_value: int, is_certain: bool
) -> None:
    """A model that is silent but once is not for certain nearer to the recordings."""
    plain_ones = [attempt for attempt in found.attempts if attempt.prompt_id is None]
    rows = []
    for opinion, count in ((3.0, NUM_CLIPS), (4.0, num_with_value)):
        given = [opinion] * count + [math.nan] * (len(plain_ones) - count)
        rows.append([replace(a, opinion=value) for a, value in zip(plain_ones, given, strict=True)])
    assert NUM_CLIPS >= 6
    figures = count_up(rows, num_compared=2, ceiling=rows[0])
    (difference,) = [found for found in figures.differences if found.figure == "opinion"]
    assert difference.estimate.value == 1.0
    assert difference.is_certain == is_certain


def test_the_reference_is_heard_too(found: Evaluation) -> None:
    assert all(attempt.words is not None and attempt.words.heard for attempt in found.ceiling)


def test_what_is_written_is_read_again(found: Evaluation) -> None:
    for attempt in (*found.attempts, *found.ceiling):
        assert repr(restore(Attempt, plain(asdict(attempt)))) == repr(attempt)
    with pytest.raises(TypeError, match="is no str"):
        restore(Attempt, {**plain(asdict(found.attempts[0])), "text": 3})
