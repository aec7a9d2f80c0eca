"""The application: routes, and what they share."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from dialoom.generate import Synthesizer
from dialoom.serve.body import read_clip_form
from dialoom.serve.engine import EngineClosed, SpeakTimeout
from dialoom.serve.errors import ApiError, answer, install_error_handlers
from dialoom.serve.guards import SafeHeaders, TokenCheck
from dialoom.serve.measures import AnswerCounter, Measures
from dialoom.serve.run_data import RunData
from dialoom.serve.schema import (
    CLIP_REQUEST,
    SOUND,
    SPEECH_REQUEST,
    openapi_of,
    refused,
)
from dialoom.serve.settings import ServeSettings
from dialoom.serve.speaker import Speaker
from dialoom.serve.speech import SpeechDesk
from dialoom.serve.voices import OfferedVoice, Voices, check_label, read_clip

PAGES = Path(__file__).parent / "pages"
PAGE_NAMES = {"/": "speak", "/run": "run"}
PAGE_FILES = {
    "/style.css": "style.css",
    "/common.js": "common.js",
    "/speak.js": "speak.js",
    "/sound.js": "sound.js",
    "/run.js": "run.js",
}
ASK_AGAIN = {"Cache-Control": "no-cache"}


def create_app(synthesizers: Mapping[str, Synthesizer], settings: ServeSettings) -> FastAPI:
    """An application that speaks with the models, and closes them when it ends.

    Args:
        synthesizers: by the names that requests call them; one at least.
        settings: limits and what else is served.

    Raises:
        CodecError: a model's codec cannot be loaded.
    """
    measures = Measures()
    speakers = {
        name: Speaker(
            name,
            synthesizer,
            max_rows=settings.max_rows,
            on_batch=measures.batches.labels(name).observe,
        )
        for name, synthesizer in synthesizers.items()
    }
    voices = Voices(settings.voices, max_uploads=settings.max_uploads)
    desk = SpeechDesk(speakers, voices, settings, measures)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for speaker in speakers.values():
            await to_thread.run_sync(speaker.close, settings.shutdown_s)

    app = FastAPI(title="dialoom", docs_url=None, redoc_url=None, lifespan=lifespan)
    install_error_handlers(app)
    for error in (EngineClosed, SpeakTimeout):
        app.add_exception_handler(error, _answer_unavailable)
    needs_token = settings.token is not None
    for router in (_page_routes(), _health_route(needs_token=needs_token)):
        app.include_router(router)
    for router in _checked_routes(desk):
        app.include_router(
            router,
            dependencies=[Depends(TokenCheck(settings.token))],
            responses=refused(401) if needs_token else {},
        )
    app.openapi = openapi_of(app, speakers, needs_token=needs_token)  # type: ignore[method-assign]
    app.add_middleware(SafeHeaders)
    app.add_middleware(AnswerCounter, measures=measures)
    return app


def _checked_routes(desk: SpeechDesk) -> list[APIRouter]:
    """All that the token is needed for."""
    run_dir = desk.settings.run_dir
    return [_speech_routes(desk), _voice_routes(desk), _state_routes(desk), _run_routes(run_dir)]


async def _answer_unavailable(_: Request, error: Exception) -> Response:
    return answer(ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))


def _page_routes() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for path, name in PAGE_FILES.items():
        router.add_api_route(path, _file(PAGES / name), methods=["GET"])
    templates = Environment(loader=FileSystemLoader(PAGES), autoescape=True)
    for path, name in PAGE_NAMES.items():
        html = templates.get_template(f"{name}.html").render(name=name)
        router.add_api_route(path, _page(html), methods=["GET"])
    return router


def _health_route(*, needs_token: bool) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, str | bool]:
        return {"status": "ok", "needs_token": needs_token}

    return router


def _file(path: Path) -> Any:
    async def file() -> FileResponse:
        return FileResponse(path, headers=ASK_AGAIN)

    return file


def _page(html: str) -> Any:
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=ASK_AGAIN)

    return page


def _speech_routes(desk: SpeechDesk) -> APIRouter:
    router = APIRouter()
    answers = {200: SOUND} | refused(400, 404, 408, 413, 422, 429, 503)

    @router.post(
        "/v1/audio/speech",
        response_class=Response,
        responses=answers,
        openapi_extra=SPEECH_REQUEST,
    )
    async def speech(request: Request) -> Response:
        return await desk.answer(request)

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(name) for name in desk.speakers]}

    @router.get("/v1/models/{name:path}", responses=refused(404, 422))
    async def model(name: str) -> dict[str, Any]:
        return _model(desk.find_speaker(name).name)

    return router


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "dialoom"}


def _voice_routes(desk: SpeechDesk) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/voices")
    def voices() -> dict[str, Any]:
        return {"object": "list", "data": [_voice(voice) for voice in desk.voices.offered()]}

    @router.post(
        "/v1/voices",
        status_code=HTTPStatus.CREATED,
        responses=refused(400, 404, 408, 413, 422, 429, 503),
        openapi_extra=CLIP_REQUEST,
    )
    async def add_voice(request: Request) -> dict[str, Any]:
        """A form: `file` (5 to 10 s of speech), `text` (what is said in it), `name`, `model`."""
        form = await read_clip_form(request, desk.settings)
        label = check_label(form.name)
        speaker = desk.find_speaker(form.model or next(iter(desk.speakers)))
        max_seconds = desk.settings.max_voice_s
        with desk.place():
            voice = await desk.in_thread(
                lambda: speaker.encode_voice(
                    read_clip(form.file, form.text, max_seconds=max_seconds)
                )
            )
        return _voice(desk.voices.keep(label, voice))

    @router.delete("/v1/voices/{id}", responses=refused(404, 422))
    def remove_voice(id: str) -> dict[str, Any]:
        desk.voices.remove(id)
        return {"id": id, "object": "voice", "deleted": True}

    return router


def _voice(voice: OfferedVoice) -> dict[str, Any]:
    return {"id": voice.id, "object": "voice", "name": voice.name, "uploaded": voice.is_uploaded}


def _state_routes(desk: SpeechDesk) -> APIRouter:
    router = APIRouter()

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        return PlainTextResponse(
            generate_latest(desk.measures.registry), media_type=CONTENT_TYPE_LATEST
        )

    return router


def _run_routes(run_dir: Path | None) -> APIRouter:
    router = APIRouter()
    refusals = refused(404, 422)
    if run_dir is None:

        @router.get("/run/summary", responses=refusals)
        async def no_run() -> None:
            raise ApiError(HTTPStatus.NOT_FOUND, "no run is shown: start the server with --run RUN")

        return router
    run = RunData(run_dir)

    @router.get("/run/summary", responses=refusals)
    def summary() -> dict[str, Any]:
        return run.summary()

    @router.get(
        "/run/samples/{index}/sound",
        response_class=FileResponse,
        responses=refusals | {200: {"content": {"audio/*": {}}}},
    )
    def sound(index: int) -> FileResponse:
        return FileResponse(run.sample_path(index))

    @router.get(
        "/run/samples/{index}/picture",
        response_class=Response,
        responses=refusals | {200: {"content": {"image/png": {}}}},
    )
    def picture(index: int) -> Response:
        return Response(run.sample_picture(index), media_type="image/png")

    return router
