"""A whole run: what it leaves behind, and that stopping it changes nothing."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_run import other_codec, tiny_recipe, weights, write_corpus

from dialoom.checkpoint import load_pretrained
from dialoom.errors import CheckpointError, DataError, RecipeError, TrainingDiverged
from dialoom.observe import read_metrics
from dialoom.recipe import Recipe, load_recipe, run_recipe
from dialoom.train.trainer import MAX_SKIPPED_STEPS, Trainer


def _last(run_dir: Path) -> Path:
    return (run_dir / "checkpoints" / "last").resolve()


def test_run_leaves_what_the_design_says(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    result = run_recipe(recipe, tmp_path / "run")
    assert result.outcome.finished
    assert _last(tmp_path / "run").name == "step_00000006"
    assert (tmp_path / "run" / "checkpoints" / "best").is_symlink()
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe
    assert "<html" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [record.step for record in metrics.train] == [1, 2, 3, 4, 5, 6]
    assert [record.step for record in metrics.valid] == [0, 3, 6]
    assert len(metrics.valid[0].loss_channels) == 9
    info = json.loads((_last(tmp_path / "run") / "dialoom.json").read_text(encoding="utf-8"))
    assert info["recipe_hash"] == recipe.content_hash
    assert info["revision"] == "0626"


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("during", ["_advance", "_validate"])
def test_resumed_run_ends_in_the_same_bits(tmp_path: Path, accumulate: int, during: str) -> None:
    """SIGTERM in the third step, or in the validation behind it; no checkpoint is due there."""
    recipe = tiny_recipe(tmp_path, accumulate=accumulate, checkpoint_every=4)
    run_recipe(recipe, tmp_path / "straight")
    original = getattr(Trainer, during)

    def interrupt(self: Trainer, *arguments: object) -> object:
        result = original(self, *arguments)
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, during, interrupt)
        stopped = run_recipe(recipe, tmp_path / "halves")
    assert stopped.outcome.step == 3
    assert not stopped.outcome.finished
    finished = run_recipe(recipe, tmp_path / "halves", resume=True)
    assert finished.outcome.finished
    expected = weights(_last(tmp_path / "straight"))
    for name, tensor in weights(_last(tmp_path / "halves")).items():
        assert torch.equal(tensor, expected[name]), name
    straight, halves = (
        read_metrics(tmp_path / run / "metrics.jsonl") for run in ("straight", "halves")
    )
    assert [r.step for r in halves.train] == [1, 2, 3, 4, 5, 6]
    assert [r.loss for r in halves.train] == [r.loss for r in straight.train]
    assert [r.loss for r in halves.valid] == [r.loss for r in straight.valid]


def test_training_changes_every_weight(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, text_dropout=0.0)
    run_recipe(recipe, tmp_path / "run")
    before = weights(tmp_path / "base")
    for name, tensor in weights(_last(tmp_path / "run")).items():
        assert not torch.equal(tensor, before[name]), name


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    with pytest.raises(RecipeError, match="holds a run already: go on with it by --resume"):
        run_recipe(recipe, tmp_path / "run")


def test_resume_refuses_other_settings_and_empty_runs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        run_recipe(tiny_recipe(tmp_path), tmp_path / "nothing", resume=True)
    run_recipe(tiny_recipe(tmp_path, steps=2), tmp_path / "run")
    with pytest.raises(RecipeError, match=r"train\.lr is 0\.5, the run in .* with 0\.001"):
        run_recipe(tiny_recipe(tmp_path, steps=2, lr=0.5), tmp_path / "run", resume=True)


def test_corpus_of_another_codec_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    write_corpus(tmp_path / "other", spec=other_codec())
    other = Recipe.model_validate(
        {**recipe.model_dump(), "data": {"corpus": str(tmp_path / "other")}}
    )
    with pytest.raises(DataError, match=r"codes were made by codec mini \(1{12}\), not"):
        run_recipe(other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gradients_that_stay_not_finite_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tmp_path, steps=30)
    loaded = load_pretrained(tmp_path / "base")
    with torch.no_grad():
        loaded.model.logits_dense.weight[3, 3] = torch.nan
    monkeypatch.setattr("dialoom.recipe.run.load_pretrained", lambda *_, **__: loaded)
    with pytest.raises(TrainingDiverged, match=f"{MAX_SKIPPED_STEPS} gradients in a row"):
        run_recipe(recipe, tmp_path / "run")


def test_failing_probe_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no voice today")

    monkeypatch.setattr("dialoom.recipe.probe.SentenceProbe.__call__", fail)
    recipe = tiny_recipe(tmp_path, sample_every=2)
    recipe = Recipe.model_validate(
        {**recipe.model_dump(), "evaluate": {"sentences": ["[S1] Hello."]}}
    )
    assert run_recipe(recipe, tmp_path / "run").outcome.finished
    events = read_metrics(tmp_path / "run" / "metrics.jsonl").events
    assert sum("no voice today" in event.message for event in events) == 3


def test_checkpoints_beyond_the_last_are_removed_and_the_best_is_kept(tmp_path: Path) -> None:
    run_recipe(tiny_recipe(tmp_path, steps=6, checkpoint_every=1, keep_last=2), tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    names = {path.name for path in checkpoints.iterdir() if not path.is_symlink()}
    best = (checkpoints / "best").resolve().name
    assert names == {"step_00000005", "step_00000006", best}
