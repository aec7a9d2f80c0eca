"""A whole run: what it leaves behind, and that stopping it changes nothing."""

import errno
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import other_codec, tiny_recipe, weights, write_corpus

from dialoom.checkpoint import ModelInfo, load_pretrained, save_pretrained
from dialoom.codec import load_codec
from dialoom.data import Batch, split_of
from dialoom.data.lock import LOCK_FILE, sole_writer
from dialoom.errors import CheckpointError, DataError, RecipeError, TrainingDiverged
from dialoom.model import DiaModel
from dialoom.observe import read_metrics
from dialoom.recipe import Recipe, load_recipe, run_recipe
from dialoom.train.step import Objective, StepResult, train_step
from dialoom.train.trainer import Trainer


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
    for record in (metrics.train[-1], metrics.valid[-1]):
        figures = (record.loss_channels, record.accuracy_channels, record.eos_recall_channels)
        assert [len(channels) for channels in figures] == [9, 9, 9]
        assert record.eos_recall == pytest.approx(sum(record.eos_recall_channels) / 9)
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
    recipe = tiny_recipe(tmp_path, steps=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    with pytest.raises(RecipeError, match="is there already: remove it, or give"):
        run_recipe(recipe, tmp_path / "run")
    run_recipe(recipe, tmp_path / "other")
    with pytest.raises(RecipeError, match="is there already: go on with it by --resume"):
        run_recipe(recipe, tmp_path / "other")


def test_resume_refuses_other_settings_and_empty_runs(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    for place in ("not-a-run", "begun"):
        (tmp_path / place).mkdir()
    (tmp_path / "begun" / "recipe.yaml").touch()
    for place, message in (
        ("nothing", "there is no such directory; correct it"),
        ("not-a-run", "is no run, it holds no recipe.yaml"),
        ("begun", "no checkpoint to resume from: remove it"),
    ):
        with pytest.raises(CheckpointError, match=message):
            run_recipe(recipe, tmp_path / place, resume=True)
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
    monkeypatch.setattr("dialoom.recipe.run.load_model", lambda *_, **__: loaded)
    with pytest.raises(TrainingDiverged, match=r"10 bad steps in a row \(10 gradients not finite"):
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


def test_recipe_decides_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout, clip, weights, precision and tags arrive where they work; weights are float32."""
    recipe = tiny_recipe(
        tmp_path,
        steps=4,
        batch_size=8,
        text_dropout=0.5,
        clip_norm=0.25,
        channel_weights=[4.0] + [1.0] * 8,
        guided_attention=1.0,
        precision="bf16",
    )
    base = load_pretrained(tmp_path / "base")
    save_pretrained(base.model.bfloat16(), base.info, tmp_path / "half")
    model = {"base": str(tmp_path / "half"), "tags": {"[anna]": 20}}
    recipe = Recipe.model_validate({**recipe.model_dump(), "model": model})
    calls: list[dict[str, Any]] = []

    def spy(
        model: DiaModel, batches: list[Batch], optimizer: Any, objective: Objective, *rest: Any
    ) -> StepResult:
        texts = [row for batch in batches for row in batch.text_BS]
        dtypes = {parameter.dtype for parameter in model.parameters()}
        dropped = [not row.any() for row in texts]
        calls.append({"objective": objective, "dropped": dropped, "dtypes": dtypes})
        return train_step(model, batches, optimizer, objective, *rest)

    monkeypatch.setattr("dialoom.train.trainer.train_step", spy)
    run_recipe(recipe, tmp_path / "run")
    dropped = [drop for call in calls for drop in call["dropped"]]
    assert 0.2 < sum(dropped) / len(dropped) < 0.8
    for call in calls:
        objective = call["objective"]
        assert objective.clip_norm == 0.25
        assert objective.channel_weights.tolist() == [4, 1, 1, 1, 1, 1, 1, 1, 1]
        assert isinstance(objective.autocast, torch.autocast)
        assert objective.guide is not None
        assert call["dtypes"] == {torch.float32}
    info = load_pretrained(_last(tmp_path / "run")).info
    assert info.tags.encode("[anna] Hi") == [20, *b" Hi"]


def test_clips_beyond_the_models_positions_are_left_out(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=1)
    write_corpus(tmp_path / "long", lengths=[3055, 3056, 10])
    recipe = Recipe.model_validate(
        {**recipe.model_dump(), "data": {"corpus": str(tmp_path / "long")}}
    )
    run_recipe(recipe, tmp_path / "run")
    events = read_metrics(tmp_path / "run" / "metrics.jsonl").events
    assert "2 clips, " in events[0].message
    assert "1 clips are beyond a limit and left out" in events[0].message


def test_validation_clips_that_are_all_too_long_do_not_stop_a_run(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=1)
    lengths = [99 if split_of(f"clip-{i}", 0.3) == "valid" else 10 for i in range(12)]
    corpus = write_corpus(tmp_path / "long", lengths=lengths, valid_fraction=0.3)
    recipe = Recipe.model_validate(
        {**recipe.model_dump(), "data": {"corpus": str(corpus), "max_seconds": 0.5}}
    )
    assert run_recipe(recipe, tmp_path / "run").outcome.best_loss is None
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert "no validation clips" in metrics.events[0].message
    assert not metrics.valid


def test_base_that_names_no_codec_is_taken_to_speak_dac(tmp_path: Path) -> None:
    """Dia-1.6B of the Hub names none; on the codes of `mini` it would only learn noise."""
    recipe = tiny_recipe(tmp_path, steps=1)
    loaded = load_pretrained(tmp_path / "base")
    save_pretrained(loaded.model, ModelInfo(), tmp_path / "base")
    with pytest.raises(DataError, match=r"taken to speak 'descript/dac_44khz'.*model\.codec=mini"):
        run_recipe(recipe, tmp_path / "run")
    data = recipe.model_dump()
    data["model"]["codec"] = "mini"
    assert run_recipe(Recipe.model_validate(data), tmp_path / "run").outcome.finished


def test_weights_for_another_number_of_channels_are_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, channel_weights=[4.0, 1.0])
    with pytest.raises(RecipeError, match="has 2 weights, the model 9 channels"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resume_refuses_another_corpus_and_takes_a_moved_one(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=2)
    run_recipe(recipe, tmp_path / "run")
    (tmp_path / "corpus").rename(tmp_path / "moved")
    write_corpus(tmp_path / "corpus", num_clips=20)
    longer = tiny_recipe(tmp_path, steps=3)
    with pytest.raises(DataError, match="is not the corpus that the run was started with"):
        run_recipe(longer, tmp_path / "run", resume=True)
    moved = Recipe.model_validate(
        {**longer.model_dump(), "data": {"corpus": str(tmp_path / "moved")}}
    )
    assert run_recipe(moved, tmp_path / "run", resume=True).outcome.step == 3


def _mixed(directory: Path, weights: tuple[float, float], **train: object) -> Recipe:
    """The tiny recipe with a second corpus whose clips have the same ids."""
    recipe = tiny_recipe(directory, **train)
    second = directory / "second"
    if not second.exists():
        write_corpus(second, num_clips=5, valid_fraction=0.3)
    paths = (str(directory / "corpus"), str(second))
    shares = [{"path": p, "weight": w} for p, w in zip(paths, weights, strict=True)]
    return Recipe.model_validate({**recipe.model_dump(), "data": {"corpus": shares}})


def test_a_mixed_run_resumes_in_the_same_bits_and_refuses_other_weights(tmp_path: Path) -> None:
    run_recipe(_mixed(tmp_path, (0.4, 0.6), steps=8), tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "begun", symlinks=True)
    checkpoints = tmp_path / "begun" / "checkpoints"
    (checkpoints / "last").unlink()
    shutil.rmtree(checkpoints / "step_00000008")
    (checkpoints / "last").symlink_to("step_00000006")
    with pytest.raises(RecipeError, match=r"weights \[0.5, 0.6\], the run in .* with \[0.4, 0.6\]"):
        run_recipe(_mixed(tmp_path, (0.5, 0.6), steps=8), tmp_path / "begun", resume=True)
    run_recipe(_mixed(tmp_path, (0.4, 0.6), steps=8), tmp_path / "begun", resume=True)
    ends = [weights(tmp_path / name / "checkpoints" / "last") for name in ("whole", "begun")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_best_is_none_before_the_first_step(tmp_path: Path) -> None:
    """Validated at step 0 too, but the base is no result of the run."""
    recipe = tiny_recipe(tmp_path, steps=2, lr=1e-12, valid_every=2)
    outcome = run_recipe(recipe, tmp_path / "run").outcome
    assert (tmp_path / "run" / "checkpoints" / "best").readlink().name == "step_00000002"
    assert outcome.best_loss == pytest.approx(
        read_metrics(tmp_path / "run" / "metrics.jsonl").valid[-1].loss
    )


def test_samples_are_written_and_in_the_report(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=1)
    spec = load_codec("mini").spec
    write_corpus(tmp_path / "real", spec=spec)
    loaded = load_pretrained(tmp_path / "base")
    save_pretrained(loaded.model, ModelInfo(codec=spec), tmp_path / "base")
    recipe = Recipe.model_validate(
        {
            **recipe.model_dump(),
            "data": {"corpus": str(tmp_path / "real")},
            "train": {**recipe.train.model_dump(), "sample_at_start": True},
            "evaluate": {
                "num_clips": 1,
                "num_valid_clips": 1,
                "sentences": ["[S1] Hello."],
                "max_seconds": 0.4,
            },
        }
    )
    run_recipe(recipe, tmp_path / "run")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [(sample.step, sample.name) for sample in metrics.samples] == [
        (step, name) for step in (0, 1) for name in ("sentence-1", "heldout-clip-0", "clip-clip-1")
    ]
    for sample in metrics.samples:
        assert (tmp_path / "run" / sample.audio_path).exists()
    assert metrics.samples[1].reference_path is not None
    assert (tmp_path / "run" / metrics.samples[1].reference_path).exists()
    assert "<audio" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert not any("failed" in event.message for event in metrics.events)


def test_run_with_more_steps_behind_it_than_asked_for_is_refused(tmp_path: Path) -> None:
    run_recipe(tiny_recipe(tmp_path, steps=4), tmp_path / "run")
    with pytest.raises(RecipeError, match=r"at step 4 already, .* ask for 2 in all: ask for more"):
        run_recipe(tiny_recipe(tmp_path, steps=2), tmp_path / "run", resume=True)


def test_second_start_leaves_a_run_alone_that_is_writing(tmp_path: Path) -> None:
    unfinished = tmp_path / "run" / "checkpoints" / ".step_00000002.1.tmp"
    unfinished.mkdir(parents=True)
    with pytest.raises(RecipeError, match="is there already"):
        run_recipe(tiny_recipe(tmp_path), tmp_path / "run")
    assert unfinished.is_dir()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_under_way_is_left_alone(tmp_path: Path, resume: bool) -> None:
    recipe, run_dir = tiny_recipe(tmp_path, steps=2), tmp_path / "run"
    run_recipe(recipe, run_dir)
    unfinished = run_dir / "checkpoints" / ".step_00000003.1.tmp"
    unfinished.mkdir()
    with sole_writer(run_dir), pytest.raises(DataError, match="another process is at work there"):
        run_recipe(recipe, run_dir, resume=resume)
    assert unfinished.is_dir()


def test_a_disk_without_locks_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    run_recipe(tiny_recipe(tmp_path, steps=1), tmp_path / "run")
    assert LOCK_FILE not in {path.name for path in (tmp_path / "run").iterdir()}
