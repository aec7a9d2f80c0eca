"""What docs/ shows: commands and recipes parse, sources are read, Python's names are there."""

import ast
import importlib
import inspect
import json
import re
import runpy
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from doc_pages import ALL_BLOCKS, DOCS, FENCE, PAGES, ROOT, Block, blocks, lines, write_sources

from dialoom.cli.main import app
from dialoom.data import Columns, SourceClip, open_source
from dialoom.data.dialogue import assemble_dialogue
from dialoom.generate import Precision, Synthesizer
from dialoom.generate.batch import BatchLine
from dialoom.recipe import Recipe, load_recipe

RECIPES = ROOT / "recipes"

LINK = re.compile(r"\]\(([^)\s]+)\)")
LANGUAGES = {"bash", "python", "yaml", "jsonl", "json", "csv", "tsv", "text", "files"}
OTHER_PROGRAMS = {
    "pip", "torchrun", "python", "tensorboard", "make", "ray", "export", "jq", "curl", "docker",
}  # fmt: skip
RUN_RECIPE = re.compile(r"runs/([\w-]+)/recipe\.yaml")


def _documented_recipe(name: str) -> str | None:
    return next((b.text for b in ALL_BLOCKS if b.language == "yaml" and b.title == name), None)


def _load(name: str, overrides: list[str], directory: Path) -> Recipe:
    """A recipe that is shipped, shown in the docs, or written down by a run of one."""
    found = RUN_RECIPE.fullmatch(name)
    if found is not None:
        name = next((n for n in (f"{found[1]}.yaml",) if _documented_recipe(n)), "") or (
            f"recipes/{found[1]}.yaml"
        )
    if name.startswith("recipes/"):
        return load_recipe(ROOT / name, overrides)
    text = _documented_recipe(name)
    assert text is not None, f"{name} is neither shipped nor shown"
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def _check_dialoom(words: list[str], directory: Path) -> None:
    """Parses it as the command line would, and calls nothing."""
    command: Any = typer.main.get_command(app)
    arguments = words[1:]
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    given = command.make_context(command.name, list(arguments)).params
    if command.name in ("train", "plan"):
        _load(str(given["recipe"]), given["overrides"] or [], directory)
        if given.get("resume") is not None:
            name = Path(given["recipe"])
            assert given["resume"] == (name.parent if name.name == "recipe.yaml" else None) or (
                given["resume"].name == name.stem
            )
    if command.name == "doctor" and given["recipe"] is not None:
        _load(str(given["recipe"]), [], directory)
    if "columns" in given:
        Columns.parse(given["columns"])
    if given.get("precision") is not None:
        Precision.parse(given["precision"])
    if command.name == "speak":
        ways = [given["text"], given["text_file"], given["batch"]]
        assert sum(map(bool, ways)) == 1, "one of TEXT, --text-file and --batch"
        assert given["batch"] or given["output"] or given["save_codes"], "nothing is written"


def _check_other(words: list[str], directory: Path) -> None:
    match words:
        case ["torchrun", *rest]:
            assert "dialoom" in rest
            _check_dialoom(rest[rest.index("dialoom") :], directory)
        case ["python", path, *_]:
            assert (ROOT / path).is_file()
        case ["make", target]:
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        case ["docker", "build", "-f", path, *_]:
            assert (ROOT / path).is_file()
        case ["docker", "run", *rest] if "serve" in rest:
            _check_dialoom(rest[rest.index("serve") - 1 :], directory)
        case ["pip", "install", *packages]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            known = extras["project"]["optional-dependencies"]
            for package in packages:
                found = re.fullmatch(r"(?:\.|dialoom)(?:\[([\w,-]+)\])?", package)
                assert found is not None, package
                assert found[1] is None or set(found[1].split(",")) <= set(known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse(page: Path, tmp_path: Path) -> None:
    for words in lines(page):
        if words[0] == "dialoom":
            _check_dialoom(words, tmp_path)
        else:
            assert words[0] in OTHER_PROGRAMS, f"nobody checks {words}"
            _check_other(words, tmp_path)


@pytest.mark.parametrize("text", ["dialoom speek m", "dialoom prepare a b --codex x"])
def test_a_wrong_command_is_found(text: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"speek|codex"):
        _check_dialoom(text.split(), tmp_path)


def test_a_wrong_override_is_found(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"train\.lrr is unknown"):
        _check_dialoom("dialoom train recipes/voice.yaml train.lrr=1".split(), tmp_path)


def test_every_block_says_its_language() -> None:
    assert {block.language for block in ALL_BLOCKS} <= LANGUAGES
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```") == 2 * len(FENCE.findall(text)), page.name


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            place, _, anchor = link.partition("#")
            if "://" in place:
                continue
            target = page if not place else (DOCS / place).resolve()
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                assert anchor in _anchors(target), f"{page.name}: {link}"


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_map() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    assert {page.name for page in PAGES} - {"index.md"} <= set(LINK.findall(text))


def test_recipes_parse(tmp_path: Path) -> None:
    """A block with a title is whole; others are a part, tried in a recipe that is shipped."""
    for block in ALL_BLOCKS:
        if block.language != "yaml":
            continue
        data = yaml.safe_load(block.text)
        if not block.title:
            whole = yaml.safe_load((RECIPES / "voice.yaml").read_text(encoding="utf-8"))
            data = {name: {**whole.get(name, {}), **data.get(name, {})} for name in whole | data}
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        assert load_recipe(path).data.shares, block.text


def test_the_reference_is_what_the_code_says() -> None:
    made = runpy.run_path(str(DOCS / "make_reference.py"))["reference"]()
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == made, "run  python docs/make_reference.py"


def test_every_recipe_field_is_described() -> None:
    section = (DOCS / "reference.md").read_text(encoding="utf-8").partition("## Lines of")[0]
    assert "|  |" not in section


def test_lines_of_a_batch_are_read() -> None:
    batch = [
        BatchLine.model_validate(json.loads(line))
        for block in blocks(DOCS / "speaking.md", "jsonl")
        for line in block.text.splitlines()
    ]
    assert batch
    assert all(line.text for line in batch)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_sources(root)
    return root


def _prepared() -> list[dict[str, Any]]:
    command: Any = typer.main.get_command(app).commands["prepare"]  # type: ignore[attr-defined]
    shown = [words for words in lines(DOCS / "data.md") if words[:2] == ["dialoom", "prepare"]]
    return [command.make_context("prepare", words[2:]).params for words in shown]


def test_sources_are_read_as_shown(sources: Path) -> None:
    """Each example that is there is read whole, and no format is without one."""
    num_read = 0
    for given in _prepared():
        path = sources / given["source"]
        if not path.exists() or given["asr_model"] is not None:
            continue
        columns = Columns.parse(given["columns"])
        entries = open_source(path, format=given["format"], columns=columns)
        if given["dialogue"]:
            entries = list(assemble_dialogue(entries))
        wrong = [entry for entry in entries if not isinstance(entry, SourceClip)]
        assert entries and not wrong, (path.name, wrong)
        num_read += 1
    assert num_read >= 9


def test_dialogue_is_joined_as_shown(sources: Path) -> None:
    (clip,) = assemble_dialogue(open_source(sources / "talk"))
    assert isinstance(clip, SourceClip)
    assert clip.text in (DOCS / "data.md").read_text(encoding="utf-8")


PYTHON = [block for block in ALL_BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.page.stem)
def test_python_names_and_arguments_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    known: dict[str, Any] = {"synthesizer": Synthesizer}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
                top = alias.name.partition(".")[0]
                known[alias.asname or top] = importlib.import_module(
                    alias.name if alias.asname else top
                )
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                known[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(tree):  # what an instance is of: x = Class(…)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = _resolve(node.value.func, known)
            if isinstance(made, type) and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = made
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            _resolve(node, known)
        elif isinstance(node, ast.Call):
            _check_arguments(node, _resolve(node.func, known))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert len(known) > 1 or used & set(known), "there was nothing to look up"


def _resolve(node: ast.expr, known: dict[str, Any]) -> Any:
    """What a dotted name is, of dialoom's; None where nobody knows. Raises if there is no such."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, known)
        if not (isinstance(owner, type | ModuleType) and _is_ours(owner)):
            return None
        if isinstance(owner, type) and node.attr in inspect.get_annotations(owner):
            return None  # a field
        return getattr(owner, node.attr)
    return None


def _is_ours(owner: type | ModuleType) -> bool:
    name = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    return name.partition(".")[0] == "dialoom"


def _check_arguments(call: ast.Call, function: Any) -> None:
    if not callable(function) or not function.__module__.startswith("dialoom"):
        return
    is_method = inspect.isfunction(function) and "." in function.__qualname__
    positional = [None] * (len(call.args) + is_method)
    keywords = {str(keyword.arg): None for keyword in call.keywords}
    inspect.signature(function).bind(*positional, **keywords)
