"""What a recipe's model holds is known without its weights."""

import json
from pathlib import Path

import pytest
from tiny_run import write_base

from dialoom.errors import RecipeError
from dialoom.recipe import Recipe, limits_of


def _recipe(**model: object) -> Recipe:
    data = {"corpus": "c", "max_seconds": 8.0, "max_text_bytes": 300}
    return Recipe.model_validate({"model": model, "data": data, "train": {"steps": 1}})


def test_of_new_models_and_bases_far_away() -> None:
    for model in ({"preset": "dia-1.6b"}, {"base": "nari-labs/Dia-1.6B-0626"}):
        limits = limits_of(_recipe(**model, tags={"[S3]": 20}))
        assert (limits.max_text_bytes, limits.max_steps) == (1024, 3072)
        assert (limits.recipe_text_bytes, limits.recipe_seconds) == (300, 8.0)
        assert limits.tags.bytes_of_tags["[S3]"] == 20


def test_of_a_base_at_hand(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["decoder_config"]["max_position_embeddings"] = 500
    (base / "config.json").write_text(json.dumps(config))
    info = json.loads((base / "dialoom.json").read_text())
    info["tags"]["[anna]"] = 20
    (base / "dialoom.json").write_text(json.dumps(info))
    next(base.glob("*.safetensors")).unlink()
    limits = limits_of(_recipe(base=str(base)))
    assert limits.max_steps == 500
    assert limits.tags.bytes_of_tags["[anna]"] == 20
    with pytest.raises(RecipeError, match=r"\[anna\] is byte 20 in the base, 21 here"):
        limits_of(_recipe(base=str(base), tags={"[anna]": 21}))
