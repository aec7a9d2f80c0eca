"""What a recipe costs: the formulas against what torch counts."""

from pathlib import Path

import pytest
import torch
from helpers import small_model
from tiny_run import tiny_recipe
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from dialoom.cli.main import app
from dialoom.model import DiaConfig, linear
from dialoom.recipe.plan import Extent, activation_bytes, flops, memory_by_part, plan
from dialoom.train import TrainSettings

BATCH, TEXT, STEPS = 2, 40, 200
EXTENT = Extent(BATCH * TEXT, BATCH * STEPS)


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(BATCH, TEXT, dtype=torch.long), torch.ones(BATCH, STEPS, 9, dtype=torch.long)


def test_activations_are_about_what_autograd_keeps() -> None:
    model = small_model().train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.decoder(_inputs()[1], model.encoder(_inputs()[0]))
    found = sum(storage.nbytes() for storage in kept.values())
    assert hidden.requires_grad
    extent = Extent(BATCH * TEXT, BATCH * STEPS)
    settings = TrainSettings(steps=1, precision="fp32")
    assert activation_bytes(model.config, settings, extent) == pytest.approx(found, rel=0.25)


def test_copies_in_16_bits_are_those_that_autograd_keeps() -> None:
    """Of few places, so that nothing else of two axes is as large."""
    model = small_model().train()
    copies: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is torch.bfloat16 and tensor.ndim == 2 and min(tensor.shape) > 4:
            copies[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    keeps = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with keeps, torch.autocast("cpu", torch.bfloat16):
        text, audio = torch.ones(1, 2, dtype=torch.long), torch.ones(1, 3, 9, dtype=torch.long)
        hidden = model.decoder(audio, model.encoder(text))
    assert hidden.requires_grad
    parts = memory_by_part(model, TrainSettings(steps=1, precision="bf16"), EXTENT)
    head = 2 * model.logits_dense.weight.numel()  # copied for a moment only
    assert parts["copies"] - head == pytest.approx(sum(copies.values()), rel=0.02)
    assert "copies" not in memory_by_part(model, TrainSettings(steps=1, precision="fp32"), EXTENT)


def test_flops_are_those_that_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "has_onednn", lambda: False)  # the counter knows PyTorch's own
    model = small_model().train()
    with FlopCounterMode(display=False) as counter:
        model(*_inputs()).sum().backward()
    expected = flops(model.config, Extent(BATCH * TEXT, BATCH * STEPS))
    assert expected == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_an_audio_second_of_dia_is_what_everybody_says() -> None:
    """0.72 TFLOP with 15 bytes of text a second."""
    assert flops(DiaConfig(), Extent(15, 86)) == pytest.approx(0.72e12, rel=0.1)


def test_ways_to_train_cost_what_their_names_promise() -> None:
    model, extent = small_model(), Extent(100, 400)
    full = memory_by_part(model, TrainSettings(steps=1), extent)
    assert full["weights"] == full["gradients"] == 4 * model.num_parameters
    assert full["moments"] == 2 * full["weights"]
    small = memory_by_part(model, TrainSettings(steps=1, optimizer="adamw8bit"), extent)
    assert small["moments"] < full["moments"] / 3
    assert "average" in memory_by_part(model, TrainSettings(steps=1, ema_decay=0.9), extent)


def test_plan_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(tiny_recipe(tmp_path, steps=4).to_yaml(), encoding="utf-8")
    cost = plan(path)
    assert cost.steps == 4
    assert cost.num_trained == cost.num_parameters
    halved = plan(path, ["train.memory_steps=20"])
    assert halved.memory_bytes["activations"] < cost.memory_bytes["activations"]
    result = CliRunner().invoke(app, ["plan", str(path), "--gpu-memory", "0.5", "--price", "2"])
    assert result.exit_code == 0, result.output
    assert "it lacks" in result.output
    assert "activations" in result.output
    assert "cost:" in result.output
