"""Which clips, and which prompts before them."""

from dataclasses import replace
from pathlib import Path

import pytest
from parrot import NUM_CLIPS, Parrot, write_sentences

from dialoom.data import Corpus
from dialoom.data.script import text_ids
from dialoom.errors import DataError
from dialoom.evaluate.evaluation import Bench, evaluate_model
from dialoom.evaluate.judges import Judges
from dialoom.evaluate.material import Capacity, EvaluateOptions, Material, choose_material
from dialoom.text import TagTable

OPTIONS = EvaluateOptions(split="all", seeds=2, voice_prompt=True)
LARGE = Capacity(max_frames=1000, max_text_bytes=100, tags=TagTable.default())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_sentences(tmp_path_factory.mktemp("material"), speakers=("Anna", "Bert"))


def _speakers(material: Material) -> list[tuple[str | None, str | None]]:
    return [
        (material.clips[index].speaker, prompt.speaker)
        for index, prompt in material.prompts.items()
    ]


def test_a_prompt_is_another_clip_of_the_same_speaker(corpus: Corpus) -> None:
    material = choose_material(corpus, OPTIONS, [LARGE])
    assert len(material.prompts) == NUM_CLIPS
    assert all(one == other for one, other in _speakers(material))
    assert all(material.clips[i].id != prompt.id for i, prompt in material.prompts.items())
    again = choose_material(corpus, OPTIONS, [LARGE]).prompts
    assert {i: prompt.id for i, prompt in again.items()} == {
        i: prompt.id for i, prompt in material.prompts.items()
    }


def test_a_prompt_need_not_be_among_the_clips_that_are_spoken(corpus: Corpus) -> None:
    material = choose_material(corpus, replace(OPTIONS, max_clips=1), [LARGE])
    assert len(material.clips) == len(material.prompts) == 1


def test_without_voice_prompt_there_are_none(corpus: Corpus) -> None:
    assert not choose_material(corpus, replace(OPTIONS, voice_prompt=False), [LARGE]).prompts


def test_a_speaker_of_one_clip_has_no_prompt(tmp_path: Path) -> None:
    lonely = write_sentences(tmp_path, speakers=("Anna", "Anna", "Anna", "Anna", "Anna", "Bert"))
    material = choose_material(lonely, OPTIONS, [LARGE])
    spoken = [clip.speaker for clip in material.clips]
    assert [spoken[i] for i in material.prompts] == ["Anna"] * 5


def test_prompt_and_speech_fit_every_model(corpus: Corpus) -> None:
    """Text of two clips is 22 bytes, that of one 11: S1 is a byte, and is said once."""
    longest = int(corpus.lengths.max())
    little_text = replace(LARGE, max_text_bytes=20)
    assert not choose_material(corpus, OPTIONS, [LARGE, little_text]).prompts
    little_room = replace(LARGE, max_frames=longest + 20)
    material = choose_material(corpus, OPTIONS, [little_room, LARGE])
    assert len(material.clips) == NUM_CLIPS and not material.prompts


def test_clips_that_one_model_cannot_hold_are_left_out_for_all(corpus: Corpus) -> None:
    shortest = int(corpus.lengths.min())
    material = choose_material(corpus, OPTIONS, [LARGE, replace(LARGE, max_frames=shortest)])
    assert {clip.codes.num_frames for clip in material.clips} == {shortest}
    assert material.num_left_out == NUM_CLIPS - len(material.clips) > 0
    with pytest.raises(DataError, match=r"of 6 clips of split 'all' none fits the model"):
        choose_material(corpus, OPTIONS, [replace(LARGE, max_text_bytes=3)])


def test_a_prompt_is_spoken_as_dialoom_speak_would(corpus: Corpus) -> None:
    """Its transcript in front, without the tag again, and its codes as what was said before."""
    parrot = Parrot(corpus)
    found = evaluate_model(parrot, corpus, OPTIONS)
    assert [a.prompt_id is None for a in found.attempts] == [True] * 12 + [False] * 12
    assert all(request.prompt is None for request in parrot.heard[0])
    clips = {corpus[i].id: corpus[i] for i in range(NUM_CLIPS)}
    for request, attempt in zip(parrot.heard[1], found.attempts[12:], strict=True):
        prompt, clip = clips[attempt.prompt_id or ""], clips[attempt.clip_id]
        text = f"{prompt.text} {clip.text.removeprefix('[S1] ')}"
        assert list(request.text_ids) == text_ids(text, clip.language, parrot.tags)
        assert request.prompt is not None
        assert (request.prompt.numpy() == prompt.codes.frames).all()
        assert request.seed == attempt.seed
        assert attempt.measures.is_nearest, "of the clip alone, not of the prompt"


def test_ceiling_and_recordings_stand_beside_both_sets(corpus: Corpus) -> None:
    bench = Bench(
        choose_material(corpus, OPTIONS, [LARGE]), OPTIONS, Parrot(corpus).codec, Judges()
    )
    ceiling = bench.measurer.ceiling()
    assert [a.prompt_id is None for a in ceiling] == [True] * NUM_CLIPS + [False] * NUM_CLIPS
    assert all(attempt.is_reference for attempt in ceiling)
    assert not bench.measurer.recordings()
