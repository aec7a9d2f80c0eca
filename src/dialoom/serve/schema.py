"""What /openapi.json says beyond what FastAPI sees in the signatures."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dialoom.audio.encoding import FORMATS
from dialoom.serve.body import FORM, JSON, SpeechBody
from dialoom.serve.errors import RETRIED

REF = "#/components/schemas/{model}"
BEARER = "token"

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}

CLIP_FORM: Mapping[str, Any] = {
    "type": "object",
    "required": ["file", "text", "name"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "5 to 10 s of speech: wav, flac, ogg, opus or mp3, one or two channels.",
        },
        "text": {"type": "string", "minLength": 1, "description": "What is said in it."},
        "name": {"type": "string", "minLength": 1, "maxLength": 64, "description": "For people."},
        "model": {"type": "string", "description": "Whose codec reads it; the first, if left out."},
    },
}
"""Which models there are is filled in."""

SPEECH_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": {"$ref": REF.format(model="SpeechBody")}}},
    }
}
CLIP_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": {"$ref": REF.format(model="ClipForm")}}},
    }
}

SOUND = {
    "description": "The speech, whole or as it is made.",
    "headers": {"X-Sample-Rate": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}},
    "content": {
        **{each.media_type: {"schema": {"type": "string"}} for each in FORMATS.values()},
        "text/event-stream": {},
    },
}
"""Bytes, whose schema is a string; events are objects of OpenAI's API."""


def refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that refuses in these ways."""
    return {status: _refusal(HTTPStatus(status)) for status in statuses}


def _refusal(status: HTTPStatus) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": status.phrase,
        "content": {JSON: {"schema": {"$ref": REF.format(model="Error")}}},
    }
    if status in RETRIED:
        said["headers"] = {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    return said


def openapi_of(
    app: FastAPI, models: Iterable[str], *, needs_token: bool
) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be: made once, when it is first asked for."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, list(models), needs_token=needs_token)
        return app.openapi_schema

    return made


def _document(app: FastAPI, models: list[str], *, needs_token: bool) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    body = SpeechBody.model_json_schema(ref_template=REF)
    form = deepcopy(dict(CLIP_FORM))
    for schema in (body, form):
        schema["properties"]["model"]["enum"] = models
    components = document.setdefault("components", {})
    components["schemas"] = {
        "SpeechBody": body,
        "ClipForm": form,
        "Error": ERROR,
        **body.pop("$defs"),
    }
    if needs_token:
        components["securitySchemes"] = {BEARER: {"type": "http", "scheme": "bearer"}}
        for path, item in document["paths"].items():
            for operation in item.values():
                if path != "/health":
                    operation["security"] = [{BEARER: []}]
    return document
