"""Which checkpoint is best, by loss or by ear; when patience ends; what resuming remembers."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_recipe, weights, write_corpus

from dialoom.checkpoint import ModelInfo, load_pretrained, load_training_state, save_pretrained
from dialoom.codec import load_codec
from dialoom.errors import RecipeError
from dialoom.observe import SpeechRecord, ValidRecord, read_metrics
from dialoom.recipe import Recipe, run_recipe
from dialoom.train.best import LOSS_FIGURES, SPEECH_FIGURES, Best
from dialoom.train.trainer import Trainer
from dialoom.train.validation import Validation

LOSSES = {0: 1.0, 1: 5.0, 2: 4.0, 3: 4.5, 4: 4.2, 5: 4.1, 6: 3.0}
"""By step: the best of training is step 2, until patience would have ended; the base's is lower."""


def _valid(step: int, loss: float, *, eos_loss: float = 1.0) -> ValidRecord:
    return ValidRecord(step, loss, (loss, loss + 1), (0.5, 0.25), eos_loss, 0.5, num_clips=4)


def _speech(step: int, *, stopped: float = 1.0, distortion_db: float = 5.0) -> SpeechRecord:
    return SpeechRecord(step, 8, 0.5, stopped, 0.75, distortion_db)


def test_less_is_better_and_patience_counts_measurements_since_then() -> None:
    best = Best("loss", patience=2)
    seen = [best.see(_valid(step, loss)) for step, loss in [(1, 3.0), (2, 2.0), (3, 2.0)]]
    assert seen == [True, True, False]
    assert (best.step, best.waited, best.is_final) == (2, 1, False)
    assert not best.see(_valid(4, math.nan))
    assert best.is_final


def test_where_as_many_stop_the_distortion_decides() -> None:
    best = Best("stopped", patience=None)
    assert best.see(_speech(1, stopped=0.5, distortion_db=4.0))
    assert best.see(_speech(2, stopped=1.0, distortion_db=9.0))
    assert not best.see(_speech(3, stopped=1.0, distortion_db=math.nan))
    assert best.see(_speech(4, stopped=1.0, distortion_db=8.0))
    assert not best.is_final


@pytest.mark.parametrize("name", [*LOSS_FIGURES, *SPEECH_FIGURES])
def test_each_figure_looks_at_its_own_records_alone(name: str) -> None:
    best = Best(name, patience=1)
    others = _valid(1, 0.1) if best.is_heard else _speech(1)
    assert not best.see(others)
    assert best.waited == 0
    assert best.see(_speech(2) if best.is_heard else _valid(2, 3.0))
    assert best.step == 2


def test_another_figure_begins_anew() -> None:
    best = Best("loss", patience=3)
    best.see(_valid(1, 2.0))
    best.see(_valid(2, 3.0))
    again, other = Best("loss", patience=3), Best("eos_loss", patience=3)
    again.restore(best.state())
    other.restore(best.state())
    assert (again.step, again.waited) == (1, 1)
    assert not again.see(_valid(3, 2.0))
    assert other.see(_valid(3, 9.0, eos_loss=5.0))


@pytest.fixture
def planned_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Validation.measure

    def planned(self: Validation, step: int) -> ValidRecord:
        return replace(measure(self, step), loss=LOSSES[step])

    monkeypatch.setattr(Validation, "measure", planned)


def _patient(directory: Path) -> Recipe:
    return tiny_recipe(directory, valid_every=1, early_stopping_patience=3, checkpoint_every=9)


def test_a_run_ends_when_its_patience_does(tmp_path: Path, planned_losses: None) -> None:
    outcome = run_recipe(_patient(tmp_path), tmp_path / "run").outcome
    assert (outcome.step, outcome.finished, outcome.best_loss) == (5, True, 4.0)
    checkpoints = tmp_path / "run" / "checkpoints"
    assert (checkpoints / "best").readlink().name == "step_00000002"
    assert (checkpoints / "last").readlink().name == "step_00000005"
    message = read_metrics(tmp_path / "run" / "metrics.jsonl").events[-1].message
    assert message == "stopped early: by loss nothing was better than step 2 in 3 measurements"
    again = run_recipe(_patient(tmp_path), tmp_path / "run", resume=True).outcome
    assert (again.step, again.finished) == (5, True)
    more = tiny_recipe(tmp_path, valid_every=1, early_stopping_patience=9, checkpoint_every=9)
    assert run_recipe(more, tmp_path / "run", resume=True).outcome.step == 6


def test_patience_outlives_an_interruption(tmp_path: Path, planned_losses: None) -> None:
    run_recipe(_patient(tmp_path), tmp_path / "straight")
    advance = Trainer._advance

    def interrupt(self: Trainer, *arguments: object) -> object:
        result = advance(self, *arguments)  # type: ignore[arg-type]
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_advance", interrupt)
        assert not run_recipe(_patient(tmp_path), tmp_path / "halves").outcome.finished
    assert run_recipe(_patient(tmp_path), tmp_path / "halves", resume=True).outcome.step == 5
    last = [tmp_path / name / "checkpoints" / "last" for name in ("straight", "halves")]
    states = [load_training_state(path)["best"] for path in last]
    assert states[0] == states[1] == {"by": "loss", "figure": [4.0], "step": 2, "waited": 3}
    one, other = (weights(path) for path in last)
    assert all(torch.equal(one[name], other[name]) for name in one)


def _heard(directory: Path, **train: object) -> Recipe:
    """The tiny recipe on a corpus of the bundled codec, so that the model can be heard."""
    recipe = tiny_recipe(directory, **train)
    spec = load_codec("mini").spec
    if not (directory / "real").exists():
        write_corpus(directory / "real", spec=spec)
        loaded = load_pretrained(directory / "base")
        save_pretrained(loaded.model, ModelInfo(codec=spec), directory / "base")
    data = {"data": {"corpus": str(directory / "real")}, "evaluate": {"speech_clips": 2}}
    return Recipe.model_validate({**recipe.model_dump(), **data})


def test_best_by_what_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _heard(tmp_path, steps=3, best_by="distortion", speech_every=1)
    run_recipe(recipe, tmp_path / "run")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert not [event for event in metrics.events if "failed" in event.message]
    assert [record.step for record in metrics.speech] == [0, 1, 2, 3]
    assert {record.num_utterances for record in metrics.speech} == {2}
    figures = {r.step: r.distortion_db for r in metrics.speech if r.step > 0}
    assert all(0 < figure < 50 for figure in figures.values())
    best = min(figures, key=lambda step: figures[step])
    link = tmp_path / "run" / "checkpoints" / "best"
    assert link.readlink().name == f"step_{best:08d}"
    assert "Distortion" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_hearing_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    run_recipe(_heard(tmp_path, steps=2, speech_every=1), tmp_path / "heard")
    run_recipe(_heard(tmp_path, steps=2), tmp_path / "deaf")
    assert not read_metrics(tmp_path / "deaf" / "metrics.jsonl").speech
    one, other = (weights(tmp_path / name / "checkpoints" / "last") for name in ("heard", "deaf"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_speech_that_cannot_be_measured_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no ear today")

    monkeypatch.setattr("dialoom.recipe.listener.ValidationSpeech.measure", fail)
    recipe = tiny_recipe(tmp_path, steps=2, best_by="retrieval", valid_every=1)
    monkeypatch.setattr("dialoom.recipe.probe.SentenceProbe._synthesizer", lambda *_: None)
    assert run_recipe(recipe, tmp_path / "run").outcome.finished
    messages = [e.message for e in read_metrics(tmp_path / "run" / "metrics.jsonl").events]
    assert messages.count("measuring speech failed (RuntimeError: no ear today)") == 3


@pytest.mark.parametrize(
    "train",
    [{"early_stopping_patience": 2}, {"best_by": "stopped"}, {"speech_every": 5}],
    ids=lambda train: next(iter(train)),
)
def test_nothing_can_be_best_without_validation_clips(
    tmp_path: Path, train: dict[str, object]
) -> None:
    recipe = tiny_recipe(tmp_path, **train)
    corpus = write_corpus(tmp_path / "all", lengths=[10, 12, 14])
    recipe = Recipe.model_validate({**recipe.model_dump(), "data": {"corpus": str(corpus)}})
    with pytest.raises(RecipeError, match=r"needs two validation clips, there are 0") as caught:
        run_recipe(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
