"""A watchdog: a training that stands still says what it waits for."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_LOOKS_PER_LIMIT = 4


class StallWatch:
    """Knows what training does at the moment, and since when; a thread looks at it.

    It says so on stderr at once, because the thread that trains cannot; `stalls` has it for the
    record.
    """

    def __init__(self, limit_s: float) -> None:
        """Takes the seconds after which a stage is called stalled."""
        self._limit_s = limit_s
        self._stage = "start"
        self._since = time.monotonic()
        self._reported = False
        self._stalls: list[str] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Says what the block does; stages may lie in each other."""
        before = self._stage
        self._enter(name)
        try:
            yield
        finally:
            self._enter(before)

    def take_stalls(self) -> list[str]:
        """What was reported since the last time."""
        stalls, self._stalls = self._stalls, []
        return stalls

    def _enter(self, name: str) -> None:
        self._stage, self._since, self._reported = name, time.monotonic(), False

    def _look(self) -> None:
        while not self._closed.wait(self._limit_s / _LOOKS_PER_LIMIT):
            stage, seconds = self._stage, time.monotonic() - self._since
            if seconds > self._limit_s and not self._reported:
                self._reported = True
                message = f"no progress for {seconds:.0f} s: waiting for {stage}"
                self._stalls.append(message)
                os.write(2, f"\n{message}\n".encode())
