"""What the README shows works as it stands there."""

import re
from pathlib import Path

import dialoom
from dialoom.recipe import load_recipe

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def test_recipe_parses(tmp_path: Path) -> None:
    path = tmp_path / "my-voice.yaml"
    path.write_text(_block("yaml"), encoding="utf-8")
    assert load_recipe(path, ["train.lr=1e-4"]).train.lr == 1e-4


def test_names_in_python_exist() -> None:
    names = re.findall(r"dialoom\.(\w+)", _block("python"))
    assert names
    assert all(hasattr(dialoom, name) for name in names)


def test_commands_exist() -> None:
    from dialoom.cli.main import app

    known = {command.name for command in app.registered_commands}
    used = set(re.findall(r"^    dialoom (\w+)", README, flags=re.MULTILINE))
    assert used
    assert used <= known


def test_public_names_resolve() -> None:
    for name in dialoom.__all__:
        assert getattr(dialoom, name) is not None
