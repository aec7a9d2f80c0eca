"""How far long work is: a bar on a terminal, a plain line now and then in a log.

Both write to standard error, so that a command's result alone stands on standard output.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

LOG_EVERY_S = 15.0
"""Seconds between the lines of a log."""


@runtime_checkable
class Progress(Protocol):
    """What the one who works tells the one who waits."""

    def update(self, step: int, text: str = "") -> None:
        """So many steps are done; `text` says how it goes."""
        ...

    def note(self, message: str) -> None:
        """A line that stays."""
        ...

    def close(self) -> None: ...


def open_progress(title: str, *, total_steps: int, console: Console | None = None) -> Progress:
    """A bar if the console (standard error if None) is a terminal, lines otherwise.

    Nobody knows how many steps there are where `total_steps` is 0.
    """
    console = console or Console(stderr=True)
    if console.is_terminal:
        return TerminalProgress(title, total_steps=total_steps, console=console)
    return LogProgress(title, total_steps=total_steps, console=console)


@contextmanager
def counted_progress(
    title: str, *, at_most: bool = False
) -> Iterator[Callable[[int, int, int], None]]:
    """A display that opens with the first count: called with (done, total, rejected).

    Args:
        title: of the work.
        at_most: the work may end before the total, so that the time left is a bound.
    """
    progress: Progress | None = None
    left = TimeLeft()

    def report(done: int, total: int, rejected: int) -> None:
        nonlocal progress
        progress = progress or open_progress(title, total_steps=total)
        seconds = left.after(done, total)
        told = "" if seconds is None else f"{format_seconds(seconds)} left"
        bound = "at most " if told and at_most and done < total else ""
        texts = [f"{rejected} rejected" if rejected else "", f"{bound}{told}"]
        progress.update(done, "  ".join(filter(None, texts)))

    try:
        yield report
    finally:
        if progress is not None:
            progress.close()


class TimeLeft:
    """How long counted work goes on at the pace it had since its first count.

    The first count may be far from 0, where work goes on that was stopped.
    """

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def after(self, done: int, total: int) -> float | None:
        """Seconds; None while nobody can know: at the first count, and without a total."""
        now = time.monotonic()
        if self._first is None or done < self._first[0]:
            self._first = (done, now)
        first_done, started_s = self._first
        if done == first_done or not total:
            return None
        return (total - done) * (now - started_s) / (done - first_done)


def format_seconds(seconds: float) -> str:
    """42 s · 3 min 05 s · 2 h 07 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class TerminalProgress:
    """A bar that redraws itself; notes scroll by above it."""

    def __init__(self, title: str, *, total_steps: int, console: Console) -> None:
        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self._task = self._progress.add_task(escape(title), total=total_steps or None, text="")
        self._progress.start()

    def update(self, step: int, text: str = "") -> None:
        self._progress.update(self._task, completed=step, text=escape(text))

    def note(self, message: str) -> None:
        self._progress.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class LogProgress:
    """The first and the last step, and a line every `every_s` seconds between them."""

    def __init__(
        self, title: str, *, total_steps: int, console: Console, every_s: float = LOG_EVERY_S
    ) -> None:
        self._title = title
        self._total_steps = total_steps
        self._console = console
        self._every_s = every_s
        self._next_s = 0.0

    def update(self, step: int, text: str = "") -> None:
        now = time.monotonic()
        if now < self._next_s and step != self._total_steps:
            return
        self._next_s = now + self._every_s
        count = f"{step}/{self._total_steps}" if self._total_steps else str(step)
        parts = [f"{self._title} {count}", *([text] if text else [])]
        self.note("  ".join(parts))

    def note(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held open: the console is somebody else's."""
