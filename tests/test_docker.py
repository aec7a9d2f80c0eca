"""The Dockerfiles, read: they are not built here, but what they name is there."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from dialoom.cli.main import app

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docker").glob("Dockerfile*"))


def instructions(path: Path) -> list[tuple[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def ignored(name: str) -> bool:
    """Whether .dockerignore, a list of all that is not ignored, keeps it out."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return f"!{name}" not in lines


def test_there_are_two() -> None:
    assert [path.name for path in FILES] == ["Dockerfile", "Dockerfile.cuda"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there(path: Path) -> None:
    copied = [
        source
        for name, argument in instructions(path)
        if name == "COPY"
        for source in argument.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists() and not ignored(source), source
    needed = {"src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert set(copied) == needed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pip_obeys_the_constraints_and_the_extras_exist(path: Path) -> None:
    steps = "&&".join(argument for name, argument in instructions(path) if name == "RUN")
    (words,) = [shlex.split(step) for step in steps.split("&&") if "pip install" in step]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[words.index("-c") + 1] == "constraints.txt"
    (extras,) = re.findall(r"\.\[([\w,-]+)\]", steps)
    assert "serve" in extras.split(",")
    assert set(extras.split(",")) <= set(known)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_serves_as_a_user_without_rights(path: Path) -> None:
    names = [name for name, _ in instructions(path)]
    after = names[names.index("USER") :]
    assert dict(instructions(path))["USER"] != "root"
    assert not {"RUN", "COPY"} & set(after)
    program, command, *arguments = json.loads(dict(instructions(path))["CMD"])
    assert (program, command) == ("dialoom", "serve")
    serve: Any = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    given = serve.make_context("serve", arguments).params
    assert (given["host"], given["port"]) == ("0.0.0.0", int(dict(instructions(path))["EXPOSE"]))
