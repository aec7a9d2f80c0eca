"""`POST /v1/audio/speech`: one request from its body to its last byte."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dialoom.audio import Waveform
from dialoom.audio.encoding import FORMATS, open_encoder, output_rate_hz
from dialoom.errors import UserError
from dialoom.serve.body import SpeechBody, read_speech_body
from dialoom.serve.errors import ApiError
from dialoom.serve.measures import Measures
from dialoom.serve.settings import ServeSettings
from dialoom.serve.speaker import Order, Speaker, Speaking
from dialoom.serve.voices import Voices

DISCONNECT_POLL_S = 0.5
RATE_HEADER = "X-Sample-Rate"

LOG = logging.getLogger("uvicorn.error")

T = TypeVar("T")


@dataclass
class SpeechDesk:
    """Takes requests for speech, as many at once as the settings allow.

    Attributes:
        speakers: the models by name.
        voices: on offer.
        settings: limits.
        measures: told of everything.
    """

    speakers: Mapping[str, Speaker]
    voices: Voices
    settings: ServeSettings
    measures: Measures

    def __post_init__(self) -> None:
        self._num_inside = 0
        self._most = self.settings.max_rows * len(self.speakers) + self.settings.max_waiting
        self._threads = CapacityLimiter(2 * self._most)  # one that was left behind ends soon

    async def answer(self, request: Request) -> Response:
        """Speaks.

        Raises:
            ApiError: 400, 404, 408, 413, 422 or 429; see the message.
            UserError: the text cannot be spoken.
        """
        since_s = time.monotonic()
        body = await read_speech_body(request, self.settings)
        speaker = self.find_speaker(body.model)
        self.enter()
        task = _Task(self, body, speaker, since_s)
        try:
            await task.begin(request)
            if task.is_streamed:
                return _HeldResponse(task)
            content = b"".join([part async for part in task.parts(request)])
        except BaseException:
            task.leave()
            raise
        task.leave()
        return Response(content, media_type=task.media_type, headers=task.headers)

    def find_speaker(self, name: str) -> Speaker:
        """A model by its name.

        Raises:
            ApiError: 404, there is none.
        """
        if name not in self.speakers:
            known = ", ".join(self.speakers)
            raise ApiError(
                HTTPStatus.NOT_FOUND, f"there is no model {name!r}: choose one of {known}", "model"
            )
        return self.speakers[name]

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._threads)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Within it, one of the requests that are in the house.

        Raises:
            ApiError: 429, the house is full.
        """
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        if self._num_inside >= self._most:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._num_inside} requests are being spoken or wait: try again soon",
            )
        self._num_inside += 1
        self.measures.requests.set(self._num_inside)

    def leave(self) -> None:
        self._num_inside -= 1
        self.measures.requests.set(self._num_inside)


class _Task:
    """One request that was let in; `leave` must be called once."""

    def __init__(
        self, desk: SpeechDesk, body: SpeechBody, speaker: Speaker, since_s: float
    ) -> None:
        self._desk, self._body, self._speaker, self._since_s = desk, body, speaker, since_s
        self._speaking: Speaking | None = None
        self._first: Waveform | None = None
        self._num_samples = 0
        rate_hz = speaker.sample_rate_hz
        self.headers = {RATE_HEADER: str(output_rate_hz(body.response_format, rate_hz))}
        self.is_events = body.stream_format == "sse"
        wanted = (
            body.stream if body.stream is not None else FORMATS[body.response_format].is_streamed
        )
        self.is_streamed = self.is_events or wanted

    @property
    def media_type(self) -> str:
        return (
            "text/event-stream"
            if self.is_events
            else FORMATS[self._body.response_format].media_type
        )

    @property
    def deadline_s(self) -> float:
        """By `time.monotonic`."""
        return self._since_s + self._desk.settings.speak_timeout_s

    async def begin(self, request: Request) -> None:
        """Until the first sound: what goes wrong before it can still be said by a status."""
        self._speaking = await self._desk.in_thread(self._order)
        self._first = await self._listened_for(request)
        waited_s = time.monotonic() - self._since_s
        self._desk.measures.first_sound.labels(self._speaker.name).observe(waited_s)

    async def parts(self, request: Request | None = None) -> AsyncIterator[bytes]:
        """The answer's body. With a request, its client is asked now and then if it is there."""
        encoder = open_encoder(
            self._body.response_format, self._speaker.sample_rate_hz, streamed=self.is_streamed
        )
        piece = self._first
        while piece is not None:
            self._num_samples += piece.num_samples
            part = self._framed(encoder.push(piece.samples))
            if part:
                yield part
            piece = await self._listened_for(request)
        yield self._framed(encoder.finish()) + self._ending()

    def leave(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
        spoken_s = self._num_samples / self._speaker.sample_rate_hz
        self._desk.measures.spoken.labels(self._speaker.name).inc(spoken_s)
        self._desk.leave()

    def _order(self) -> Speaking:
        body = self._body
        voice = self._desk.voices.find(body.voice_id)
        sampling = body.sampling(self._speaker.settings_for(voice))
        order = Order(body.input, sampling, voice, body.language, self.deadline_s)
        return self._speaker.speak(order)

    async def _listened_for(self, request: Request | None) -> Waveform | None:
        assert self._speaking is not None, "begin was not called"
        piece = asyncio.ensure_future(self._desk.in_thread(self._speaking.next_piece))
        try:
            while not piece.done():
                await asyncio.wait({piece}, timeout=DISCONNECT_POLL_S)
                if request is not None and not piece.done() and await request.is_disconnected():
                    raise ApiError(HTTPStatus.BAD_REQUEST, "the client left")
        finally:
            piece.cancel()
        return piece.result()

    def _framed(self, data: bytes) -> bytes:
        if not self.is_events or not data:
            return data
        return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})

    def _ending(self) -> bytes:
        if not self.is_events:
            return b""
        num_bytes = len(self._body.input.encode())
        num_frames = self._num_samples // self._speaker.codec.spec.hop_length
        usage = {
            "input_tokens": num_bytes,
            "output_tokens": num_frames,
            "total_tokens": num_bytes + num_frames,
        }
        return _event({"type": "speech.audio.done", "usage": usage})


class _HeldResponse(StreamingResponse):
    """A stream that leaves the desk when it ends, also if it never begins.

    What goes wrong on the way can no longer be said by a status: the connection is closed before
    the end of the body, which every client takes for an error. The same happens to a client that
    has not taken its stream by the deadline, because it holds a place all the while.
    """

    def __init__(self, task: _Task) -> None:
        super().__init__(task.parts(), media_type=task.media_type, headers=task.headers)
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._task.deadline_s - time.monotonic()):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            LOG.warning("a client did not take its stream in time: it is cut off")
        except UserError as error:
            LOG.warning("a stream ended before its speech: %s", error)
        finally:
            self._task.leave()


def _event(data: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
