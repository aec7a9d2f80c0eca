"""Refusals as OpenAI's clients read them: a status, and a JSON object that says why."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from dialoom.errors import DialoomError, UserError

RETRY_AFTER_S = 2
"""What clients are told to wait where waiting helps."""

METHODS = ("DELETE", "GET", "POST")

RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ApiError(DialoomError):
    """A request that is refused.

    Args:
        status: of the answer.
        message: one line: what is wrong, what to do.
        param: the field of the request that is to blame.
    """

    def __init__(self, status: HTTPStatus, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param


def error_body(error: ApiError) -> dict[str, dict[str, str | None]]:
    """The error object of OpenAI's API."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    code = error.status.name.lower()
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def install_error_handlers(app: FastAPI) -> None:
    """Every refusal, also those of the framework, in the same form."""
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(UserError, _answer_user_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(Exception, _answer_bug)


def answer(error: ApiError) -> JSONResponse:
    headers = {}
    if error.status in RETRIED:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error), status_code=error.status, headers=headers)


async def _answer_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return answer(error)


async def _answer_user_error(_: Request, error: Exception) -> JSONResponse:
    return answer(ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(str(error).split())))


async def _answer_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    message = f"{field}: {first['msg']}"
    return answer(ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message, field))


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = answer(ApiError(HTTPStatus(error.status_code), str(error.detail)))
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


async def _answer_bug(_: Request, error: Exception) -> JSONResponse:
    """The server's log has the traceback; a client is told nothing of what is inside."""
    message = "a bug of the server, which is in its log: try another text, and report it"
    return answer(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, message))


def _methods(request: Request) -> list[str]:
    """What the path allows by all its routes; the framework names those of the first (RFC 9110)."""
    return [
        method
        for method in METHODS
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
