"""Which weights train: all, those that no pattern freezes, or an adapter beside them."""

from difflib import get_close_matches
from fnmatch import fnmatchcase

from dialoom.errors import RecipeError
from dialoom.model import DiaModel

ROOT = "model."
"""In front of the names of encoder and decoder, by transformers; patterns need not have it."""


def freeze(model: DiaModel, patterns: tuple[str, ...]) -> None:
    """Leaves parameters without a gradient.

    Args:
        model: changed in place.
        patterns: of names, with or without "model." in front; * stands for anything.

    Raises:
        RecipeError: a pattern matches no parameter, or together they leave nothing to train.
    """
    named = dict(model.named_parameters())
    for pattern in patterns:
        matched = [name for name in named if matches(name, pattern)]
        if not matched:
            raise RecipeError(
                f"train.freeze: {pattern!r} matches no parameter; "
                f"{near(pattern, _branches([*named]))}"
            )
        for name in matched:
            named[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in named.values()):
        raise RecipeError("train.freeze leaves nothing to train: take a pattern out")


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern names a parameter or module of Dia; case counts."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.removeprefix(ROOT), pattern)


def near(pattern: str, names: list[str]) -> str:
    """The names most like a mistaken one, as the end of a message."""
    found = get_close_matches(pattern, names, n=3, cutoff=0.0)
    return f"near are {', '.join(found)}"


def _branches(names: list[str]) -> list[str]:
    """Patterns for every module, and the names of all parameters, as a person writes them."""
    short = [name.removeprefix(ROOT) for name in names]
    parts = [name.split(".") for name in short]
    modules = {".".join(part[:depth]) + ".*" for part in parts for depth in range(1, len(part))}
    return [*sorted(modules), *short]
