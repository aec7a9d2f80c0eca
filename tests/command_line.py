"""What came of a command that a test has typed."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    status: int
    stdout: str
    stderr: str


Command = Callable[..., Result]
