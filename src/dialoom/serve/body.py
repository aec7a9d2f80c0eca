"""What clients send, read within limits of size and time."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from dialoom.generate import SamplingSettings
from dialoom.serve.errors import ApiError
from dialoom.serve.settings import ServeSettings
from dialoom.serve.voices import DEFAULT_VOICE

JSON, FORM = "application/json", "multipart/form-data"

SAMPLING_KEYS = ("seed", "temperature", "top_p", "top_k", "cfg_scale", "max_seconds")


class VoiceId(BaseModel):
    """A voice as newer clients name one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Annotated[str, Field(max_length=200)]


class SpeechBody(BaseModel):
    """The body of `POST /v1/audio/speech`: OpenAI's fields, and after them ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Annotated[str, Field(max_length=200)]
    input: Annotated[str, Field(min_length=1)]
    """The script, with `[S1]` and `[S2]`."""
    voice: Annotated[str, Field(max_length=200)] | VoiceId = DEFAULT_VOICE
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    speed: float | None = 1
    """Only 1: Dia has no such control."""
    instructions: str | None = None
    """Ignored: Dia takes none."""
    stream_format: Literal["audio", "sse"] = "audio"
    stream: bool | None = None
    """Send sound as it is made. Unless said: mp3, opus and pcm are, wav and flac are not."""
    language: Annotated[str, Field(max_length=20)] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Field(le=2**31)] | None = None
    cfg_scale: float | None = None
    max_seconds: float | None = None

    @property
    def voice_id(self) -> str:
        return self.voice if isinstance(self.voice, str) else self.voice.id

    def sampling(self, suited: SamplingSettings | None) -> SamplingSettings | None:
        """The settings that it asks for, over those that suit the voice; None for no wish.

        Raises:
            GenerationError: one of them is out of range.
        """
        given = {key: getattr(self, key) for key in SAMPLING_KEYS if getattr(self, key) is not None}
        if not given:
            return suited
        known = {} if suited is None else {key: getattr(suited, key) for key in SAMPLING_KEYS}
        return SamplingSettings(**(known | given))


async def read_speech_body(request: Request, settings: ServeSettings) -> SpeechBody:
    """Reads and checks the body.

    Raises:
        ApiError: 400 no JSON; 408 too slow; 413 too large; 422 a field is wrong.
    """
    _refuse_other_type(request, JSON)
    raw = b"".join([chunk async for chunk in _limited(request, settings)])
    try:
        body = SpeechBody.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error) from None
    if len(body.input) > settings.max_text_chars:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"input has {len(body.input)} characters, at most {settings.max_text_chars} are spoken "
            "at once: send it in parts",
            "input",
        )
    if body.speed not in (1, None):
        raise ApiError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"speed is {body.speed}: Dia cannot be told a speed, leave it out or 1",
            "speed",
        )
    return body


@dataclass(frozen=True)
class ClipForm:
    """The form of `POST /v1/voices`.

    Attributes:
        file: an audio file's bytes. Its name on the client's disk is of no interest.
        text: what is said in it.
        name: for people.
        model: whose codec is to read it; empty for the first.
    """

    file: bytes
    text: str
    name: str
    model: str


async def read_clip_form(request: Request, settings: ServeSettings) -> ClipForm:
    """Reads the form.

    Raises:
        ApiError: 400 no such form; 408 too slow; 413 too large; 422 without file.
    """
    _refuse_other_type(request, FORM)
    raw = b"".join([chunk async for chunk in _limited(request, settings)])

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield raw

    parser = MultiPartParser(request.headers, chunks(), max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "it has no boundary")
        raise ApiError(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {reason}") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "file: send an audio file", "file")
        fields = {key: value for key, value in form.items() if isinstance(value, str)}
        return ClipForm(
            await file.read(),
            fields.get("text", ""),
            fields.get("name", ""),
            fields.get("model", ""),
        )
    finally:
        await form.close()


def _refuse_other_type(request: Request, wanted: str) -> None:
    """Also keeps other sites' forms out, which browsers send without asking us."""
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if given != wanted:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"content-type is {given!r}: send {wanted}")


async def _limited(request: Request, settings: ServeSettings) -> AsyncGenerator[bytes, None]:
    too_large = ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {settings.max_body_bytes} bytes",
    )
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > settings.max_body_bytes:
        raise too_large
    num_bytes, chunks = 0, request.stream()
    deadline_s = time.monotonic() + settings.body_timeout_s
    while True:
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise ApiError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not arrive within {settings.body_timeout_s:g} s",
            ) from None
        except ClientDisconnect:
            raise ApiError(HTTPStatus.BAD_REQUEST, "the client left") from None
        if chunk is None:
            return
        num_bytes += len(chunk)
        if num_bytes > settings.max_body_bytes:
            raise too_large
        yield chunk


def _refusal(error: ValidationError) -> ApiError:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return ApiError(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {first['msg']}")
    field = ".".join(str(place) for place in first["loc"]) or None
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"{field or 'the body'}: {first['msg']}", field
    )
