"""Checkpoints in the background: nothing is lost, and what goes wrong is heard."""

import resource
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_model
from tiny_run import tiny_recipe, weights

from dialoom.checkpoint import ModelInfo, RunStore, load_training_state
from dialoom.errors import CheckpointError
from dialoom.recipe import run_recipe
from dialoom.train.distributed import Ranks
from dialoom.train.replica import Replica
from dialoom.train.saver import Saver
from dialoom.train.step import Objective
from dialoom.train.trainer import Trainer


def _steps(run_dir: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step_*"))


def test_training_may_go_on_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is what there was when it began, weights and moments alike."""
    model = small_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    may_write = threading.Event()
    write = RunStore.save

    def patient(self: RunStore, *arguments: Any, **options: Any) -> Path:
        assert may_write.wait(timeout=60)
        return write(self, *arguments, **options)

    monkeypatch.setattr(RunStore, "save", patient)
    store = RunStore(tmp_path, ModelInfo(), keep_last=2)
    saver = Saver(store, Replica(model, Objective(clip_norm=1.0), Ranks()))
    saver.save(optimizer, {"step": 1}, 1, is_best=False)
    optimizer.step()
    may_write.set()
    saver.wait()
    checkpoint = tmp_path / "checkpoints" / "step_00000001"
    saved = weights(checkpoint)
    assert all(torch.equal(saved[name], before[name]) for name in saved)
    assert not torch.equal(saved["logits_dense.weight"], model.logits_dense.weight)
    assert load_training_state(checkpoint)["optimizer"]["state"] == {}


def test_full_disk_ends_the_run_with_one_line_and_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tmp_path, valid_every=9)
    advance = Trainer._advance
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk(self: Trainer, *arguments: Any) -> object:
        if self.step == 3:
            self._saver.wait()
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        return advance(self, *arguments)

    monkeypatch.setattr(Trainer, "_advance", fill_disk)
    try:
        with pytest.raises(CheckpointError, match="step_00000004 cannot be written") as caught:
            run_recipe(recipe, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert _steps(tmp_path / "run") == [2]
    monkeypatch.undo()
    assert run_recipe(recipe, tmp_path / "run", resume=True).outcome.finished


def test_milestones_and_the_best_by_another_figure_are_kept(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path, checkpoint_every=1, keep_last=1, keep_every=2, best_by="accuracy", valid_every=6
    )
    run_recipe(recipe, tmp_path / "run")
    assert _steps(tmp_path / "run") == [2, 4, 6]
    assert (tmp_path / "run" / "checkpoints" / "best").is_symlink()
