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


CHINESE = (Path(__file__).parents[1] / "README.zh-CN.md").read_text(encoding="utf-8")


def _shown(text: str) -> list[str]:
    """Commands and blocks, without their comments, which are translated."""
    code = re.findall(r"^    [^\n]+$|```\w+\n.*?```", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r" *#.*", "", line) for block in code for line in block.splitlines()]


def test_both_languages_show_the_same_commands() -> None:
    assert len(_shown(README)) > 30
    assert _shown(CHINESE) == _shown(README)


def test_both_languages_have_the_same_parts() -> None:
    def parts(text: str) -> tuple[int, list[str]]:
        return text.count("\n## "), re.findall(r"^\|[-|]+\|$", text, flags=re.MULTILINE)

    assert parts(CHINESE) == parts(README)
    assert CHINESE.count("\n| ") == README.count("\n| ")


def test_both_languages_name_the_same_things() -> None:
    def named(text: str) -> set[str]:
        prose = re.sub(r"```.*?```|^    [^\n]+$", "", text, flags=re.DOTALL | re.MULTILINE)
        return set(re.findall(r"`([^`]+)`", " ".join(prose.split())))

    assert named(CHINESE) == named(README)


def test_each_language_leads_to_the_other() -> None:
    assert "[简体中文](README.zh-CN.md)" in README.splitlines()[2]
    assert "[English](README.md)" in CHINESE.splitlines()[2]
