"""Ctrl-C and SIGTERM ask a run to stop; it finishes its step and writes a checkpoint first."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_NOTICE = b"\nstopping after this step, with a checkpoint; once more to stop at once\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Notes the first signal while its block runs; a second one does what it always does."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there signals arrive
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        os.write(2, _NOTICE)  # the one way to write that is safe inside a signal handler

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
