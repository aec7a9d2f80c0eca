"""Every shipped recipe trains two steps as it is, on a small random model and a small corpus."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import small_config
from tiny_run import SPEC, write_base, write_corpus

from dialoom.checkpoint import load_model
from dialoom.codec import CodecSpec
from dialoom.model import PRESETS
from dialoom.observe import read_metrics
from dialoom.recipe import load_recipe, run_recipe
from dialoom.sequence import layout_for

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if not path.is_symlink())
MIMI = CodecSpec("kyutai/mimi", "0" * 64, 24_000, 1920, 8, 2048)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::UserWarning:torchao")


def _small(path: Path, directory: Path) -> list[str]:
    """What makes a recipe small and silent; all that it says of the training stays."""
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec = MIMI if path.stem == "other-codec" else SPEC
    shares = recipe["data"]["corpus"]
    names = [s["path"] for s in shares] if isinstance(shares, list) else [shares]
    for name in names:
        write_corpus(directory / name, num_clips=6, spec=spec)
    corpora: Any = str(directory / names[0])
    if isinstance(shares, list):
        corpora = [{**share, "path": str(directory / share["path"])} for share in shares]
    overrides = {
        "data.corpus": corpora,
        "train.steps": 2,
        "train.epochs": None,
        "train.compile": False,
        "train.device": "cpu",
        "evaluate.sentences": [],
        "evaluate.num_clips": 0,
        "evaluate.num_valid_clips": 0,
        "observe.tensorboard": False,
    }
    if "base" in recipe["model"]:
        overrides["model.base"] = str(write_base(directory / "base"))
    return [
        f"{key}={yaml.safe_dump(value, default_flow_style=True)}"
        for key, value in overrides.items()
    ]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_starts(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if load_recipe(path).train.optimizer == "adamw8bit":
        pytest.importorskip("torchao")
    small = {name: small_config() for name in PRESETS}
    monkeypatch.setattr("dialoom.recipe.run.PRESETS", small)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # torchao's step
    recipe = load_recipe(path, _small(path, tmp_path))
    assert run_recipe(recipe, tmp_path / "run").outcome.step == 2
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert metrics.train[-1].loss > 0
    assert not any("not finite" in event.message for event in metrics.events)
    layout = load_model(tmp_path / "run").model.config.layout
    spec = MIMI if path.stem == "other-codec" else SPEC
    assert layout == layout_for(
        num_codebooks=spec.num_codebooks,
        codebook_size=spec.codebook_size,
        frames_per_second=spec.frames_per_second,
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_how_to_start_it_and_why(path: Path) -> None:
    """The command at the top, and reasons behind values."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert any(f"train recipes/{path.name}" in line for line in lines)
    assert sum("  # " in line for line in lines) >= 2
