"""The type checker that the import hook of `conftest.py` puts around every function of dialoom."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

CONFIGURATION = BeartypeConf(is_pep484_tower=True)
"""An int passes where a float is asked for, as PEP 484 has it."""


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype around a function.

    jaxtyping decorates methods one by one, and beartype knows no `Self` outside a class that it
    decorates as a whole: such methods stay as they are.
    """
    try:
        return beartype(conf=CONFIGURATION)(function)
    except BeartypeDecorHintPep673Exception:
        return function
