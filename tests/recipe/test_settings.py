"""Recipes: what is wrong is named with place, value and rule."""

from pathlib import Path

import pytest

from dialoom.errors import RecipeError
from dialoom.recipe import Recipe, load_recipe
from dialoom.text import TagTable

RECIPE = "data: {corpus: c}\ntrain: {steps: 5}\n"
SHIPPED = sorted(Path(__file__).parents[2].glob("recipes/**/*.yaml"))


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_and_overrides(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.yaml", RECIPE)
    overrides = ["train.lr=2e-5", "train.lr=3.0e-5", "model.tags={'[anna]': 20}"]
    recipe = load_recipe(path, [*overrides, "train.lora.rank=4", "train.lora.dora=true"])
    assert recipe.train.lr == 3e-5
    assert recipe.train.lora is not None
    assert (recipe.train.lora.rank, recipe.train.lora.dora) == (4, True)
    assert recipe.train.clip_norm == 1.0
    assert recipe.tag_table(TagTable.default()).bytes_of_tags["[anna]"] == 20


def test_revision_0626_may_be_written_without_quotes(tmp_path: Path) -> None:
    """YAML takes it for an octal number."""
    path = _write(tmp_path / "r.yaml", RECIPE + "model: {revision: 0626}\n")
    assert load_recipe(path).model.revision == "0626"
    assert load_recipe(path, ["model.revision=2025-04"]).model.revision == "2025-04"


def test_recipe_survives_yaml(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path / "r.yaml", RECIPE), ["train.channel_weights=[4,1]"])
    again = load_recipe(_write(tmp_path / "again.yaml", recipe.to_yaml()))
    assert again == recipe
    assert again.content_hash == recipe.content_hash


def test_several_corpora(tmp_path: Path) -> None:
    data = "data:\n  corpus:\n  - path: german\n    weight: 0.7\n  - {path: dutch, weight: 0.3}\n"
    recipe = load_recipe(_write(tmp_path / "r.yaml", data + "train: {steps: 5}"))
    assert recipe.data.shares == (("german", 0.7), ("dutch", 0.3))
    assert load_recipe(_write(tmp_path / "again.yaml", recipe.to_yaml())) == recipe
    single = load_recipe(_write(tmp_path / "s.yaml", RECIPE))
    assert single.data.shares == (("c", None),)
    both = load_recipe(tmp_path / "s.yaml", ["data.corpus=[a, s3://b/c]"])
    assert both.data.shares == (("a", None), ("s3://b/c", None))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipes_parse(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)


def test_recipes_are_shipped() -> None:
    assert SHIPPED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            RECIPE + "trian: {}\n",
            "trian is unknown; known are model, data, train, evaluate, observe",
        ),
        (
            "data: {corpus: c}\ntrain: {steps: 5, lrate: 1}",
            "train.lrate is unknown; known are steps",
        ),
        (
            "data: {corpus: c}\ntrain: {stepps: 5}",
            "; is steps meant?",
        ),
        ("data: {corpus: c}\ntrain: {steps: 0}", "train.steps is 0: input should be greater than"),
        ("data: {corpus: c}\ntrain: {steps: 1, seed: -1}", "train.seed is -1"),
        ("data: {corpus: c}\ntrain: {steps: 1, betas: [0.9, 1.0]}", "train.betas.1 is 1.0"),
        ("data: {corpus: c}\ntrain: {}", "train is {}: say either `steps` or `epochs`"),
        ("train: {steps: 5}", "data is missing"),
        (
            "data: {corpus: c}\ntrain: {epochs: .inf}",
            "train.epochs is inf: input should be a finite",
        ),
        (
            "data: {corpus: c}\ntrain: {steps: 1, channel_weights: [1, -1]}",
            "train.channel_weights.1 is -1: input should be greater than or equal to 0",
        ),
        ("data: {corpus: c, max_seconds: .inf}\ntrain: {steps: 1}", "data.max_seconds is inf"),
        (
            RECIPE + "model: {preset: huge}",
            "model.preset is 'huge': there is dia-1.6b, small",
        ),
        (RECIPE + "model: {revision: '0627'}", "model.revision is '0627'"),
        ("data: {corpus: []}\ntrain: {steps: 1}", "data.corpus is []: name at least one corpus"),
        (
            "data: {corpus: [a, {path: b, weight: 1}]}\ntrain: {steps: 1}",
            "give each corpus a weight, or none",
        ),
        ("data: {corpus: [a, a]}\ntrain: {steps: 1}", "one path stands there twice"),
        (
            "data: {corpus: [{path: b, weight: 0}]}\ntrain: {steps: 1}",
            "data.corpus.0.weight is 0: input should be greater than 0",
        ),
        ("data: {corpus: [{weight: 1}]}\ntrain: {steps: 1}", "data.corpus.0.path is missing"),
        (
            "data: {corpus: 5}\ntrain: {steps: 1}",
            "data.corpus is 5: input should be a valid string",
        ),
        ("[1, 2]", "holds no sections"),
        ("data: {", "is no YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(_write(tmp_path / "r.yaml", text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["lr=1", "train.lr", "train.=1", "=1", "train.lr=[", "train..lr=1", "train.steps.a=1"],
)
def test_overrides_that_are_none(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError, match="override"):
        load_recipe(_write(tmp_path / "r.yaml", RECIPE), [override])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        load_recipe(tmp_path / "nothing.yaml")


def test_recipe_may_not_move_a_tag_of_its_base() -> None:
    recipe = Recipe.model_validate(
        {"data": {"corpus": "c"}, "train": {"steps": 1}, "model": {"tags": {"[S1]": 20}}}
    )
    with pytest.raises(RecipeError, match=r"\[S1\] is byte 1 in the base, 20 here"):
        recipe.tag_table(TagTable.default())
