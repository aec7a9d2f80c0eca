"""Writes docs/reference.md from the code: the recipe's fields, and the commands with their options.

    python docs/make_reference.py

`reference()` is a pure function of the code; tests/test_docs.py compares it with the page.
"""

import ast
import inspect
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dialoom.cli.main import app
from dialoom.generate.batch import BatchLine
from dialoom.recipe import Recipe
from dialoom.recipe.settings import CorpusShare
from dialoom.train.settings import LoraSettings

PAGE = Path(__file__).with_name("reference.md")

HEAD = """# Reference

Made from the code by `docs/make_reference.py`; change it there.

- [Recipe](#recipe): every setting of a run, by section
- [Lines of `--batch`](#lines-of---batch)
- [Commands](#commands): arguments and options
"""

LINKS: dict[Any, str] = {
    LoraSettings: "#trainlora",
    CorpusShare: "#datacorpus-one-of-several",
}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_recipe(), *_batch_line(), *_commands()]) + "\n"


def _recipe() -> Iterator[str]:
    yield "## Recipe\n"
    yield "A recipe is YAML with these sections. An unknown key is refused. A key is given on the"
    yield "command line as `section.key=value`, the value in YAML.\n"
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        assert isinstance(section, type) and issubclass(section, BaseModel)
        yield from _table(f"`{name}`", section)
    yield from _table("`data.corpus`, one of several", CorpusShare)
    yield from _table("`train.lora`", LoraSettings)


def _batch_line() -> Iterator[str]:
    yield "## Lines of `--batch`\n"
    yield "`dialoom speak MODEL --batch FILE`: one JSON object a line. What a line does not say is"
    yield "as on the command line.\n"
    yield from _rows(BatchLine)


def _table(title: str, section: type[BaseModel]) -> Iterator[str]:
    yield f"### {title}\n"
    yield _paragraph(inspect.getdoc(section) or "").split(" Field descriptions ")[0] + "\n"
    yield from _rows(section)


def _rows(section: type[BaseModel]) -> Iterator[str]:
    texts = attribute_docstrings(section)
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for name, field in section.model_fields.items():
        cells = (f"`{name}`", _type(field), _default(field), texts.get(name, ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def attribute_docstrings(section: type) -> dict[str, str]:
    """Field → the string that stands under its definition."""
    (body,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(section))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node, below in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[node.target.id] = _paragraph(str(below.value.value))
    return found


def _paragraph(text: str) -> str:
    return " ".join(text.split())


def _type(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_spell(field.annotation), *limits])


def _spell(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in (None, types.NoneType):
        return "none"
    if origin is Annotated:
        return _spell(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_spell(argument) for argument in arguments)
    if origin is tuple:
        items = [_spell(argument) for argument in arguments if argument is not ...]
        return f"list of {items[0]}" if ... in arguments else f"[{', '.join(items)}]"
    if origin is dict:
        return f"{_spell(arguments[0])}: {_spell(arguments[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    if kind in LINKS:
        return f"[section]({LINKS[kind]})"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{choice}`" for choice in kind)
    return names.get(kind, f"`{kind.__name__}`")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    return _value(value)


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case float():
            return f"`{value:g}`"
        case "":
            return "empty"
        case _:
            return f"`{value}`"


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield "Exit status: 0 done · 2 what a person can mend, in one line · 1 a fault of dialoom, and"
    yield "`doctor --strict` that found something bad · 130 `prepare` that was stopped.\n"
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        for path, leaf in _leaves(name, command):
            yield from _command(path, leaf)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _leaves(f"{path} {name}", below)


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(_argument_name(argument) for argument in arguments)
    yield f"### `dialoom {path}{f' {usage}' if usage else ''}`\n"
    yield _paragraph(command.help or "") + "\n"
    rows = [(f"`{_argument_name(a)}`", _option_default(a), a.help or "") for a in arguments]
    rows += [(_flags(option), _option_default(option), option.help or "") for option in options]
    if rows:
        yield "| | default | |"
        yield "|---|---|---|"
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        yield ""


def _argument_name(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flags(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _option_default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    return "" if parameter.default is None else _value(parameter.default)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
