"""Speaker similarity and predicted opinion: tiny models, and every way of naming the wrong one."""

from pathlib import Path

import numpy as np
import pytest
from fake_audio import tone
from fake_speech import fake_sentence
from tiny_judges import save_exported, save_scripted, save_tiny_xvector

from dialoom.audio import Waveform
from dialoom.errors import AudioError
from dialoom.evaluate.judges import (
    OpinionFile,
    OpinionModel,
    SpeakerModel,
    XVectorModel,
    cosine_similarity,
    load_judges,
)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> SpeakerModel:
    return XVectorModel(str(save_tiny_xvector(tmp_path_factory.mktemp("xvector"))))


@pytest.fixture(scope="module")
def opinion(tmp_path_factory: pytest.TempPathFactory) -> OpinionModel:
    return OpinionFile(save_scripted(tmp_path_factory.mktemp("mos") / "mos.pt"))


def test_an_embedding_is_like_itself_and_unlike_another(speakers: SpeakerModel) -> None:
    one, other = (speakers.embed(fake_sentence(seed)) for seed in (0, 1))
    assert one.shape == (12,)
    assert cosine_similarity(one, speakers.embed(fake_sentence(0))) == pytest.approx(1)
    assert cosine_similarity(one, other) < 0.9999


def test_embeddings_are_of_the_models_rate_whatever_the_clips_is(speakers: SpeakerModel) -> None:
    low, high = (speakers.embed(tone(2.0, sample_rate_hz=rate)) for rate in (16_000, 44_100))
    assert cosine_similarity(low, high) > 0.999


def test_short_speech_can_be_judged(speakers: SpeakerModel, opinion: OpinionModel) -> None:
    click = tone(0.02)
    assert np.isfinite(speakers.embed(click)).all()
    assert opinion.score(click) == pytest.approx(5 * 0.5 / np.sqrt(2), rel=1e-2)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([3, 4], [3, 4], 1.0), ([3, 4], [-6, -8], -1.0), ([1, 0], [0, 2], 0.0)],
)
def test_cosine(left: list[int], right: list[int], expected: float) -> None:
    vectors = [np.array(side, np.float32) for side in (left, right)]
    assert cosine_similarity(*vectors) == pytest.approx(expected)


def test_nothing_has_no_direction() -> None:
    assert np.isnan(cosine_similarity(np.zeros(2, np.float32), np.ones(2, np.float32)))


def test_a_score_is_what_the_file_says(opinion: OpinionModel) -> None:
    steady = Waveform(np.full(44_100, 0.5, np.float32), 44_100)
    assert opinion.score(steady) == pytest.approx(2.5, rel=1e-2)


def test_an_exported_file_scores_alike(tmp_path: Path, opinion: OpinionModel) -> None:
    exported = OpinionFile(save_exported(tmp_path / "mos.pt2"))
    for seed in (0, 1):
        clip = fake_sentence(seed, num_sounds=8 + seed)
        assert exported.score(clip) == pytest.approx(opinion.score(clip))


def test_judges_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"--mos-model .*no such file; name one that torch"):
        load_judges(None, None, str(tmp_path / "mos.pt"))
    with pytest.raises(AudioError, match=r"--speaker-model .*cannot be loaded .*wavlm-base"):
        load_judges(None, str(tmp_path / "none"), None)


def test_files_that_are_no_judges_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mos.pt").write_bytes(b"no archive")
    with pytest.raises(AudioError, match=r"must be written by torch\.jit\.save"):
        OpinionFile(tmp_path / "mos.pt")
    bare = save_tiny_xvector(tmp_path / "bare", with_head=False)
    with pytest.raises(AudioError, match="it has no classifier"):
        XVectorModel(str(bare))


@pytest.mark.parametrize(("kind", "message"), [("samples", "of one number"), ("pair", "shape")])
def test_a_script_that_scores_nothing_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        OpinionFile(save_scripted(tmp_path / "mos.pt", kind)).score(tone(1.0))


def test_judges_tell_their_names(tmp_path: Path) -> None:
    path = str(save_scripted(tmp_path / "mos.pt"))
    names = load_judges(None, None, path).names
    assert names == {"asr_model": None, "speaker_model": None, "mos_model": path}
