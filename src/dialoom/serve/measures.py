"""What Prometheus reads of a server."""

from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Measures:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "dialoom_answers", "Answers by path and status.", ["path", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.requests = Gauge(
            "dialoom_speech_requests", "Requests for speech that are in the house.",
            registry=self.registry,
        )  # fmt: skip
        self.batches = Histogram(
            "dialoom_batch_size", "Requests that began together.", ["model"],
            buckets=BATCH_SIZES, registry=self.registry,
        )  # fmt: skip
        self.first_sound = Histogram(
            "dialoom_first_sound_seconds", "From a request to its first sound.", ["model"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.spoken = Counter(
            "dialoom_speech_seconds", "Seconds of speech that were made.", ["model"],
            registry=self.registry,
        )  # fmt: skip


class AnswerCounter:
    """ASGI: counts answers by the route's pattern, never by what a client made up; bugs as 500."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        def count(status: int) -> None:
            nonlocal is_answered
            is_answered = True
            path = getattr(scope.get("route"), "path", "unknown")
            self._measures.answers.labels(path, str(status)).inc()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            if not is_answered:
                count(HTTPStatus.INTERNAL_SERVER_ERROR.value)
            raise
