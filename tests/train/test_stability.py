"""Unstable is seen: jumps, gradients that are not finite, and a run that stands still."""

import random
import time
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_recipe

from dialoom.data import Batch
from dialoom.errors import TrainingDiverged
from dialoom.loss import LossSums
from dialoom.observe import read_metrics
from dialoom.recipe import run_recipe
from dialoom.train.stability import LossBound
from dialoom.train.step import StepLoss
from dialoom.train.watch import StallWatch


def test_restless_loss_does_not_jump_and_an_outlier_does() -> None:
    rng, bound = random.Random(0), LossBound(8.0)
    falling = [6.0 - 0.01 * step + rng.gauss(0, 0.1) for step in range(200)]
    assert not any(bound.is_jump(loss) for loss in falling)
    before = bound.limit
    assert bound.is_jump(50.0)
    assert bound.limit < before + 1, "one outlier does not widen the bound for the next"
    assert bound.is_jump(9.5)


def test_bound_goes_on_where_it_was() -> None:
    one, other = LossBound(8.0), LossBound(8.0)
    for loss in range(30):
        one.is_jump(4.0 + loss % 3)
    other.restore(one.state())
    assert other == one


def _bad_from(step: int, calls_per_step: int) -> object:
    """A loss that is infinite from a step on: its gradient is not finite."""
    original, calls = StepLoss.forward, [0]

    def forward(self: StepLoss, batch: Batch) -> tuple[torch.Tensor, LossSums]:
        loss, sums = original(self, batch)
        if self.training:
            calls[0] += 1
        bad = step * calls_per_step < calls[0] <= (step + 3) * calls_per_step
        return (loss * torch.inf if bad else loss), sums

    return forward


def test_bad_steps_roll_the_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepLoss, "forward", _bad_from(4, calls_per_step=1))
    recipe = tiny_recipe(
        tmp_path, steps=9, max_bad_steps=3, on_divergence="roll_back", warmup_steps=0
    )
    outcome = run_recipe(recipe, tmp_path / "run").outcome
    assert outcome.finished
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    back = [e for e in metrics.events if "were bad: back to step 4" in e.message]
    assert len(back) == 1
    assert "steps 5 to 7" in back[0].message
    rates = {record.step: record.lr for record in metrics.train}
    again = [record for record in metrics.train if record.step == 5]
    assert len(again) == 2, "the step was done again"
    assert again[1].lr == pytest.approx(again[0].lr / 2)
    assert rates[9] < again[1].lr


def test_bad_steps_stop_the_run_with_a_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepLoss, "forward", _bad_from(2, calls_per_step=1))
    recipe = tiny_recipe(tmp_path, max_bad_steps=3)
    with pytest.raises(TrainingDiverged, match=r"step 5: 3 bad steps in a row") as caught:
        run_recipe(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / "checkpoints" / "step_00000002").is_dir()


def test_bad_steps_before_any_checkpoint_stop_the_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepLoss, "forward", _bad_from(0, calls_per_step=1))
    recipe = tiny_recipe(tmp_path, max_bad_steps=3, checkpoint_every=9, valid_every=9)
    with pytest.raises(TrainingDiverged, match="step 3: 3 bad steps"):
        run_recipe(recipe, tmp_path / "run")


def test_jump_is_told_with_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.train.stability.WARM_UP", 3)
    original = StepLoss.forward
    calls = [0]

    def forward(self: StepLoss, batch: Batch) -> tuple[torch.Tensor, LossSums]:
        loss, sums = original(self, batch)
        calls[0] += self.training
        if calls[0] == 5 and self.training:
            sums.channel_losses_C.mul_(3)
        return loss, sums

    monkeypatch.setattr(StepLoss, "forward", forward)
    run_recipe(tiny_recipe(tmp_path, valid_every=9, log_every=3), tmp_path / "run")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    jumps = [event for event in metrics.events if "the loss jumped to" in event.message]
    assert [event.step for event in jumps] == [5]
    assert "clips: clip-" in jumps[0].message


def test_norms_of_all_blocks_make_the_whole(tmp_path: Path) -> None:
    run_recipe(tiny_recipe(tmp_path, steps=1, clip_norm=0.1), tmp_path / "run")
    record = read_metrics(tmp_path / "run" / "metrics.jsonl").train[0]
    assert {"encoder.layers.0", "decoder.layers.1", "logits_dense"} <= record.block_norms.keys()
    whole = sum(norm**2 for norm in record.block_norms.values()) ** 0.5
    assert whole == pytest.approx(record.grad_norm, rel=1e-3)


def test_watchdog_names_the_stage(capfd: pytest.CaptureFixture[str]) -> None:
    with StallWatch(0.05) as watch:
        with watch.stage("data"):
            time.sleep(0.2)
        stalls = watch.take_stalls()
    assert len(stalls) == 1
    assert "waiting for data" in stalls[0]
    assert "waiting for data" in capfd.readouterr().err


def test_watchdog_is_quiet_while_stages_change() -> None:
    with StallWatch(0.5) as watch:
        for _ in range(15):
            with watch.stage("data"):
                time.sleep(0.05)
        assert watch.take_stalls() == []
