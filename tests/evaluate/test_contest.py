"""Several models on the same clips: what is certain, what is resumed, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parrot import NUM_CLIPS, Parrot, write_sentences

from dialoom.data import Corpus
from dialoom.errors import CheckpointError, DataError
from dialoom.evaluate import evaluation as module
from dialoom.evaluate.comparison import compare, compare_speech
from dialoom.evaluate.contest import Contestant, admit, evaluate_models, fingerprint
from dialoom.evaluate.evaluation import Evaluation
from dialoom.evaluate.material import EvaluateOptions
from dialoom.text import TagTable

OPTIONS = EvaluateOptions(split="all", seeds=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_sentences(tmp_path_factory.mktemp("contest"))


@pytest.fixture
def good(corpus: Corpus) -> Parrot:
    return Parrot(corpus)


@pytest.fixture
def short(corpus: Corpus) -> Parrot:
    return Parrot(corpus, share=0.5, seed=1)


def _run(
    corpus: Corpus,
    models: dict[str, Parrot],
    path: Path | None = None,
    options: EvaluateOptions = OPTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Evaluation]:
    contestants = [Contestant(title, lambda model=model: model) for title, model in models.items()]
    entrants = admit(contestants, corpus)
    return evaluate_models(entrants, corpus, options, path=path, progress=progress)


def test_what_differs_on_every_clip_is_certain_and_marked(
    corpus: Corpus, good: Parrot, short: Parrot
) -> None:
    found = _run(corpus, {"good": good, "short": short})
    speech = compare_speech(found)
    assert list(speech.titles) == ["good", "short", "codec alone"]
    certain = {d.figure for d in speech.plain.differences if d.is_certain}
    assert {"length_ratio", "length_within", "frames_late", "distortion_db"} <= certain
    assert not certain & {"stopped", "ran_on", "empty", "f0_hz"}
    (length,) = (d for d in speech.plain.differences if d.figure == "length_ratio")
    assert (length.row, length.other) == (1, 0)
    assert length.estimate.value == pytest.approx(-0.5, abs=0.02)
    lines = list(compare(found))
    (head,) = (i for i, line in enumerate(lines) if line.startswith("how fast"))
    assert lines[head + 1].split()[:4] == ["a", "good", "1.00", "[1.00,"]
    assert "0.50 [0.50, 0.51] a" in lines[head + 2] and "1.00 [1.00, 1.00] b" in lines[head + 1]


def test_of_few_clips_nothing_is_certain(corpus: Corpus, good: Parrot, short: Parrot) -> None:
    few = EvaluateOptions(split="all", seeds=1, max_clips=5)
    found = _run(corpus, {"good": good, "short": short}, options=few)
    assert not any(d.is_certain for d in compare_speech(found).plain.differences)
    lines = list(compare(found))
    assert any("fewer than 6 clips" in line for line in lines)
    assert "nearest to its own of 5 clips: 20.0 % by chance" in lines


def test_models_speak_the_same_clips_with_the_same_seeds(
    corpus: Corpus, good: Parrot, short: Parrot
) -> None:
    _run(corpus, {"good": good, "short": short})
    assert repr(good.heard) == repr(short.heard)
    assert sum(map(len, good.heard)) == 2 * NUM_CLIPS


def test_an_evaluation_that_is_killed_goes_on_where_it_was(
    corpus: Corpus, good: Parrot, short: Parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPEECH_BATCH_SIZE", 4)
    whole = tmp_path / "whole.json"
    told: list[tuple[int, int]] = []
    _run(corpus, {"good": good, "short": short}, whole, progress=lambda *now: told.append(now))
    assert told[-1] == (24, 24) and [done for done, _ in told] == [0, 4, 8, 12, 12, 16, 20, 24]
    calls = len(short.heard)
    good.heard.clear()

    def stop() -> None:
        if len(short.heard) == calls + 1:
            raise KeyboardInterrupt

    short.before = stop
    part = tmp_path / "part.json"
    with pytest.raises(KeyboardInterrupt):
        _run(corpus, {"good": good, "short": short}, part)
    content = json.loads(part.read_text())
    assert [len(model["attempts"]) for model in content["models"]] == [12, 4]
    assert [model["finished"] for model in content["models"]] == [True, False]
    assert not content["finished"] and "retrieval" in content["models"][0]["speech"]

    short.before = lambda: None
    num_heard = len(good.heard)
    _run(corpus, {"good": good, "short": short}, part)
    assert len(good.heard) == num_heard, "the first model says nothing again"
    assert len(short.heard) == calls + 3
    assert part.read_bytes() == whole.read_bytes()

    content = json.loads(part.read_text())
    del content["models"][1]["attempts"][5:]  # a group that is not whole is said again
    part.write_text(json.dumps(content))
    _run(corpus, {"good": good, "short": short}, part)
    assert len(short.heard) == calls + 5
    assert part.read_bytes() == whole.read_bytes()


def test_what_is_finished_is_only_read(corpus: Corpus, good: Parrot, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    first = _run(corpus, {"good": good}, path)
    content, num_heard = path.read_bytes(), len(good.heard)
    again = _run(corpus, {"good": good}, path)
    assert len(good.heard) == num_heard and path.read_bytes() == content
    assert list(compare(first)) == list(compare(again))


def test_a_model_more_is_added_to_what_is_there(
    corpus: Corpus, good: Parrot, short: Parrot, tmp_path: Path
) -> None:
    path = tmp_path / "out.json"
    _run(corpus, {"good": good}, path)
    num_heard = len(good.heard)
    found = _run(corpus, {"short": short, "good": good}, path)
    assert list(found) == ["short", "good"] and len(good.heard) == num_heard
    assert [m["title"] for m in json.loads(path.read_text())["models"]] == ["short", "good"]


def test_what_is_there_outlives_a_model_that_is_put_before_it(
    corpus: Corpus, good: Parrot, short: Parrot, tmp_path: Path
) -> None:
    path = tmp_path / "out.json"
    _run(corpus, {"good": good}, path)
    (done,) = json.loads(path.read_text())["models"]

    def stop() -> None:
        raise KeyboardInterrupt

    short.before = stop
    with pytest.raises(KeyboardInterrupt):
        _run(corpus, {"short": short, "good": good}, path)
    begun, kept = json.loads(path.read_text())["models"]
    assert begun["title"] == "short" and begun["attempts"] == []
    assert kept["attempts"] == done["attempts"]


def test_another_evaluation_is_never_overwritten(
    corpus: Corpus, good: Parrot, short: Parrot, tmp_path: Path
) -> None:
    path = tmp_path / "out.json"
    _run(corpus, {"good": good}, path)
    before = path.read_bytes()
    for models, options, reason in (
        ({"good": good}, EvaluateOptions(split="all", seeds=3), "options.seeds is 3 now, 2 there"),
        ({"short": short}, OPTIONS, "it holds good, which is not asked for now"),
        ({"good": short}, OPTIONS, "good had other weights then"),
        ({"good": good}, EvaluateOptions("all", 4, 2), "options.max_clips is 4 now, 64 there"),
    ):
        with pytest.raises(DataError, match=rf"holds another evaluation \({reason}\); name anoth"):
            _run(corpus, models, path, options)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"dialoom": "0.1.0"}'])
def test_a_file_that_is_no_evaluation_is_refused(
    corpus: Corpus, good: Parrot, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "out.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"--json .* is no evaluation that this dialoom wrote"):
        _run(corpus, {"good": good}, path)
    assert path.read_text() == content


def test_all_models_are_looked_at_before_one_speaks(corpus: Corpus, good: Parrot) -> None:
    def fail() -> Parrot:
        raise CheckpointError("no model at nowhere")

    contestants = [Contestant("good", lambda: good), Contestant("nowhere", fail)]
    with pytest.raises(CheckpointError, match="no model at nowhere"):
        admit(contestants, corpus)
    assert not good.heard
    lines: list[str] = []
    entrants = admit(
        [Contestant("nowhere", fail, is_optional=True), contestants[0]], corpus, note=lines.append
    )
    assert [entrant.title for entrant in entrants] == ["good"]
    assert lines == ["without the base nowhere: no model at nowhere"]


@pytest.mark.parametrize("title", ["good", "codec alone"])
def test_two_of_one_title_are_refused(corpus: Corpus, good: Parrot, title: str) -> None:
    contestants = [Contestant(name, lambda: good) for name in ("good", title)]
    with pytest.raises(DataError, match=f"model {title}: is named twice"):
        admit(contestants, corpus)


def test_a_fingerprint_is_of_weights_and_tags(good: Parrot, short: Parrot) -> None:
    before = fingerprint(good)
    assert before == fingerprint(good) != fingerprint(short)
    with torch.no_grad():
        good.model.logits_dense.weight[0, 0] += 1e-6
    changed = fingerprint(good)
    assert changed != before
    good.info = replace(good.info, tags=TagTable({"[S1]": 1, "[S2]": 2, "[anna]": 20}))
    assert fingerprint(good) != changed
