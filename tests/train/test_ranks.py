"""Two processes are one: the same losses, norms and weights, by DDP and by FSDP2."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_recipe, weights

from dialoom.checkpoint import load_training_state
from dialoom.observe import read_metrics
from dialoom.recipe import run_recipe

STEPS = 3
UNEVEN: dict[str, object] = {
    "accumulate": 3,  # one rank has two micro-batches, the other one and a silent one
    "clip_norm": 0.5,
    "schedule": "constant",
    "guided_attention": 1.0,
    "channel_weights": [4.0] + [1.0] * 8,
    "log_every": 1,
    "valid_every": 100,
    "checkpoint_every": 100,
}


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def run_two_ranks(directory: Path, runs: list[tuple[str, bool, dict[str, object]]]) -> None:
    """Trains with both ranks; a rank whose partner is gone ends by itself."""
    script = Path(__file__).with_name("two_ranks.py")
    paths = [str(script.parents[1]), *sys.path]
    ports = ",".join(_free_port() for _ in runs)
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "MASTER_ADDR": "127.0.0.1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    processes = []
    for rank in range(2):
        with (directory / f"rank{rank}.txt").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, str(script), str(directory), json.dumps(runs), ports],
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
    statuses = [process.wait() for process in processes]
    said_by_all = [(directory / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert statuses == [0, 0], "\n".join(said_by_all)


def _last(run_dir: Path) -> Path:
    return (run_dir / "checkpoints" / "last").resolve()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs alone, by DDP, by FSDP2; and each of them gone on with by another."""
    path = tmp_path_factory.mktemp("ranks")
    run_recipe(tiny_recipe(path, steps=STEPS, **UNEVEN), path / "alone")
    run_recipe(tiny_recipe(path, steps=STEPS - 1, **UNEVEN), path / "alone-fsdp")
    by_ddp, by_fsdp = {**UNEVEN, "parallel": "ddp"}, {**UNEVEN, "parallel": "fsdp"}
    runs: list[tuple[str, bool, dict[str, object]]] = [
        ("ddp", False, {**by_ddp, "steps": STEPS}),
        ("fsdp", False, {**by_fsdp, "steps": STEPS - 1}),
        ("alone-fsdp", True, {**by_fsdp, "steps": STEPS}),
        # rank 1 begins anew where rank 0 does not, in passes that send gradients and others
        ("ddp-little", False, {**by_ddp, "steps": STEPS, "rank_1_holds": 60}),
        # no clip of rank 1 fits
        ("ddp-none", False, {**by_ddp, "steps": 2, "probe_passes": 0, "rank_1_holds": 18}),
    ]
    run_two_ranks(path, runs)
    shutil.copytree(path / "fsdp", path / "fsdp-alone", symlinks=True)
    run_recipe(tiny_recipe(path, steps=STEPS, **UNEVEN), path / "fsdp-alone", resume=True)
    return path


@pytest.mark.parametrize("run", ["ddp", "fsdp", "alone-fsdp", "fsdp-alone"])
def test_two_ranks_have_the_curve_of_one(directory: Path, run: str) -> None:
    expected = read_metrics(directory / "alone" / "metrics.jsonl")
    found = read_metrics(directory / run / "metrics.jsonl")
    assert len(found.train) == (STEPS - 1 if run == "fsdp" else STEPS)
    for ours, theirs in zip(found.train, expected.train, strict=False):
        assert ours.loss_channels == pytest.approx(theirs.loss_channels, rel=2e-6)
        assert ours.accuracy_channels == theirs.accuracy_channels
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=5e-6)
        assert ours.grad_norm > 0.5, "clipping is at work"
        assert ours.audio_seconds == pytest.approx(theirs.audio_seconds)
    for ours, theirs in zip(found.valid, expected.valid, strict=False):
        if ours.step == theirs.step:
            assert ours.loss_channels == pytest.approx(theirs.loss_channels, rel=2e-6)
            assert ours.num_clips == theirs.num_clips
            assert ours.text_gain == pytest.approx(theirs.text_gain, abs=2e-5)
            assert ours.other_revision_loss == pytest.approx(
                theirs.other_revision_loss, rel=2e-6, nan_ok=True
            )


@pytest.mark.parametrize("run", ["ddp", "ddp-little", "alone-fsdp", "fsdp-alone"])
def test_two_ranks_end_with_the_weights_of_one(directory: Path, run: str) -> None:
    expected = weights(_last(directory / "alone"))
    found = weights(_last(directory / run))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        # far below the rate, 1e-3: no gradient differs by more than rounding, nor by its sign
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5, msg=name)


def test_rank_without_any_clip_that_fits_holds_nobody_up(directory: Path) -> None:
    records = read_metrics(directory / "ddp-none" / "metrics.jsonl").train
    assert len(records) == 2
    assert all(record.grad_norm > 0 for record in records)


def test_divided_moments_are_in_the_checkpoint(directory: Path) -> None:
    state = load_training_state(_last(directory / "fsdp"))
    assert "optimizer" not in state
    assert len(list(Path(state["shards"]).glob("*.distcp"))) == 2
