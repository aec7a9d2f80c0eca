"""One thread per model that speaks for all requests: those that wait begin together, as a batch.

A batch that runs is not joined. Another one may run beside it, step by step in turns, so that a
request does not wait for the longest text of those before it.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dialoom.errors import GenerationError
from dialoom.generate.decode import Decoding
from dialoom.generate.request import Generated, Request, Row
from dialoom.generate.settings import SamplingSettings
from dialoom.model.step_decoder import StepDecoder

GATHER_S = 0.01
"""How long an idle engine waits for company of the first request; a step of 1.6 B takes longer."""

MAX_BATCHES = 2
"""Each reads all weights at each step, so more of them make all slower."""

TELL_STEPS = 4
"""How often new frames are looked for: reading them costs the host more than a small step."""

DEFAULTS = SamplingSettings()
"""Of no row: every request brings its own."""


class EngineClosed(GenerationError):
    """The engine takes no more requests."""


class SpeakTimeout(GenerationError):
    """A request was not spoken in time."""


@dataclass(frozen=True)
class Piece:
    """New frames of a request."""

    generated: Generated
    is_last: bool


class Ticket:
    """One request's place in the engine: its frames come out as they are made."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_cancelled = False
        self._pieces: queue.SimpleQueue[Piece | Exception] = queue.SimpleQueue()

    def put(self, piece: Piece | Exception) -> None:
        self._pieces.put(piece)

    def cancel(self) -> None:
        """Nobody listens any more; who still waits is woken."""
        self.is_cancelled = True
        self.put(GenerationError("the request was given up"))

    def pieces(self, deadline_s: float) -> Iterator[Generated]:
        """The frames as they come; the last piece says whether the model ended by itself.

        Args:
            deadline_s: by `time.monotonic`.

        Raises:
            SpeakTimeout: the deadline passed.
            Exception: whatever stopped the batch.
        """
        try:
            while True:
                piece = self._next(deadline_s)
                yield piece.generated
                if piece.is_last:
                    return
        finally:
            self.cancel()

    def _next(self, deadline_s: float) -> Piece:
        try:
            piece = self._pieces.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            raise SpeakTimeout(
                "the time for a request is over: send a shorter text, or try again later"
            ) from None
        if isinstance(piece, Exception):
            raise piece
        return piece


class Engine:
    """Speaks requests from many threads in one."""

    def __init__(
        self,
        decoder: StepDecoder,
        *,
        max_rows: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Starts the thread.

        Args:
            decoder: of the model.
            max_rows: requests that are spoken at once, of all batches.
            on_batch: called with the size of each batch that begins.
        """
        self._decoder, self._max_rows, self._on_batch = decoder, max_rows, on_batch
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="dialoom-engine", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> Ticket:
        """Takes a request, with settings and seed of its own.

        Raises:
            EngineClosed: after `close`.
            GenerationError: its text or its prompt does not fit the model.
        """
        Row.plan(0, request, self._decoder.config, settings=DEFAULTS, max_frames=None)
        ticket = Ticket(request)
        with self._changed:
            if self._is_closed:
                raise EngineClosed("the server is shutting down: try again soon")
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def close(self, timeout_s: float | None = None) -> None:
        """Speaks what it has taken, then ends."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        batches: list[_Batch] = []
        while True:
            joining = self._take(batches)
            if joining is None:
                return
            if joining:
                self._on_batch(len(joining))
                batches.append(_Batch(self._decoder, joining))
            for batch in batches:
                batch.advance()
            batches = [batch for batch in batches if not batch.is_done]

    def _take(self, batches: "Sequence[_Batch]") -> list[Ticket] | None:
        """Requests for a new batch, often none; None when all is done and nothing will come."""
        with self._changed:
            if not batches:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return None
        if not batches:
            time.sleep(GATHER_S)
        room = self._max_rows - sum(batch.num_rows for batch in batches)
        if len(batches) >= MAX_BATCHES:
            room = 0
        taken: list[Ticket] = []
        while self._waiting and len(taken) < room:
            ticket = self._waiting.popleft()
            if not ticket.is_cancelled:
                taken.append(ticket)
        return taken


class _Batch:
    """Requests that began together. Whatever goes wrong is told to who waits for it."""

    def __init__(self, decoder: StepDecoder, tickets: Sequence[Ticket]) -> None:
        self._going = dict(enumerate(tickets))
        self._told = [0] * len(tickets)
        self._decoding: Decoding | None = None
        try:
            requests = [ticket.request for ticket in tickets]
            self._decoding = Decoding(decoder, requests, DEFAULTS)
        except Exception as error:  # the thread speaks for others too
            self._fail(error)

    @property
    def num_rows(self) -> int:
        return len(self._going)

    @property
    def is_done(self) -> bool:
        """All have ended, or nobody listens to those that have not."""
        return all(ticket.is_cancelled for ticket in self._going.values())

    def advance(self) -> None:
        """One step; tells what is new now and then."""
        decoding = self._decoding
        if self.is_done or decoding is None:
            return
        try:
            decoding.advance()
            if decoding.num_steps % TELL_STEPS == 0 or decoding.is_done:
                self._tell(decoding)
        except Exception as error:
            self._fail(error)

    def _tell(self, decoding: Decoding) -> None:
        for index, ticket in list(self._going.items()):
            whole = decoding.finished(index)
            codes = decoding.frames(index) if whole is None else whole.codes
            new = codes[self._told[index] :]
            self._told[index] += new.shape[0]
            if whole is not None:
                del self._going[index]
                ticket.put(Piece(Generated(new, whole.stopped), is_last=True))
            elif new.shape[0]:
                ticket.put(Piece(Generated(new, stopped=False), is_last=False))

    def _fail(self, error: Exception) -> None:
        for ticket in self._going.values():
            ticket.put(error)
        self._going.clear()
