"""What stands before every answer: the token, and headers that keep a page to itself."""

import hmac
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dialoom.serve.errors import ApiError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class TokenCheck:
    """A dependency of all routes but the pages and /health."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    async def __call__(self, request: Request) -> None:
        """Compares in a time that tells nothing of where the tokens differ.

        Raises:
            ApiError: 401, the token is missing or wrong.
        """
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED, "send the server's token as 'Authorization: Bearer TOKEN'"
            )


class SafeHeaders:
    """ASGI: puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, adding)
