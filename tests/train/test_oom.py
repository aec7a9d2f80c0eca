"""Out of memory, injected: smaller micro-batches, and the run ends in the same place."""

from pathlib import Path

import pytest
import torch
from helpers import small_model
from little_memory import memory_for
from tiny_run import tiny_recipe, weights

from dialoom.data import Batch
from dialoom.errors import TrainingError
from dialoom.loss import LossSums
from dialoom.observe import read_metrics
from dialoom.recipe import run_recipe
from dialoom.train.memory_probe import shortage
from dialoom.train.oom import is_out_of_memory
from dialoom.train.optimizer import moment_bytes
from dialoom.train.settings import TrainSettings
from dialoom.train.step import StepLoss


def _run(directory: Path, name: str, **train: object) -> tuple[dict[str, torch.Tensor], list[str]]:
    run_recipe(tiny_recipe(directory, **{"steps": 3, "valid_every": 9, **train}), directory / name)
    events = read_metrics(directory / name / "metrics.jsonl").events
    last = (directory / name / "checkpoints" / "last").resolve()
    return weights(last), [event.message for event in events if "out of memory" in event.message]


@pytest.mark.parametrize("during", ["forward", "backward"])
def test_step_is_done_again_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    expected, none = _run(tmp_path, "plenty", accumulate=2)
    assert none == []
    monkeypatch.setattr(StepLoss, "forward", memory_for(70, during=during))
    found, messages = _run(tmp_path, "little", accumulate=2)
    assert messages
    assert "with the same gradient; train.memory_steps=" in messages[0]
    assert len(messages) <= 2, "the smaller budget is kept"
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4, msg=name)


def test_clip_that_does_not_fit_alone_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepLoss, "forward", memory_for(45))
    _, messages = _run(tmp_path, "run", batch_size=1, steps=6)
    alone = [message for message in messages if "does not fit even alone" in message]
    assert alone
    assert "clip clip-" in alone[0]
    assert "data.max_seconds=0." in alone[0]


def test_other_errors_are_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: StepLoss, batch: Batch) -> tuple[torch.Tensor, LossSums]:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(StepLoss, "forward", forward)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        _run(tmp_path, "run")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_forms_of_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_budget_is_kept_over_a_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepLoss, "forward", memory_for(70))
        _run(tmp_path, "run", schedule="constant")
    sizes: list[int] = []
    original = StepLoss.forward

    def spy(self: StepLoss, batch: Batch) -> tuple[torch.Tensor, LossSums]:
        sizes.append(batch.audio_BTC.shape[0] * batch.audio_BTC.shape[1])
        return original(self, batch)

    monkeypatch.setattr(StepLoss, "forward", spy)
    recipe = tiny_recipe(tmp_path, steps=5, valid_every=9, schedule="constant")
    run_recipe(recipe, tmp_path / "run", resume=True)
    assert sizes
    assert max(sizes) <= 70


def test_probe_finds_the_budget_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = _run(tmp_path, "without")
    found, none = _run(tmp_path, "with", probe_passes=3)
    assert none == []
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    monkeypatch.setattr(StepLoss, "forward", memory_for(100))
    _run(tmp_path, "little", probe_passes=1, steps=1)
    events = read_metrics(tmp_path / "little" / "metrics.jsonl").events
    assert [event.step for event in events if "out of memory" in event.message] == [0]


def test_warning_says_what_is_missing() -> None:
    assert shortage(20_000_000_000, 24_000_000_000) is None
    warning = shortage(30_000_000_000, 24_000_000_000)
    assert warning is not None
    assert "need 30.0 GB of the GPU's 24.0 GB: lower train.memory_steps" in warning


def test_probe_expects_the_moments_that_are_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []

    def probe(replica: object, batch: object, passes: int, *, moments_to_come: int) -> None:
        expected.append(moments_to_come)

    monkeypatch.setattr("dialoom.train.trainer.probe_memory", probe)
    _run(tmp_path, "run", probe_passes=1, schedule="constant")
    recipe = tiny_recipe(tmp_path, steps=4, valid_every=9, probe_passes=1, schedule="constant")
    run_recipe(recipe, tmp_path / "run", resume=True)
    model = small_model()
    assert expected == [8 * model.num_parameters, 0], "a resumed run has them already"
    in_8_bits = moment_bytes(model, TrainSettings(steps=1, optimizer="adamw8bit"))
    assert in_8_bits == pytest.approx(2.03 * model.num_parameters, rel=0.01)


@pytest.mark.parametrize("where", ["step.update_if_finite", "replica.evaluate_loss"])
def test_memory_that_ends_elsewhere_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(f"dialoom.train.{where}", fail)
    with pytest.raises(TrainingError, match="out of memory outside of the micro-batches"):
        _run(tmp_path, "run", steps=1)
    events = read_metrics(tmp_path / "run" / "metrics.jsonl").events
    assert "out of memory outside of the micro-batches" in events[-1].message
