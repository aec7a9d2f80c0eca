"""uvicorn around the application: SIGTERM and Ctrl-C end it after what runs is finished."""

import signal
from collections.abc import Mapping

import uvicorn

from dialoom.errors import UserError
from dialoom.generate import Synthesizer
from dialoom.serve.app import create_app
from dialoom.serve.settings import ServeSettings


def serve(
    synthesizers: Mapping[str, Synthesizer],
    settings: ServeSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Serves until it is told to stop, then finishes what runs.

    Args:
        synthesizers: models by the names that requests call them.
        settings: limits and what else is served.
        host: address to listen on.
        port: 0 for a free one.

    Raises:
        CodecError: a model's codec cannot be loaded.
        UserError: the port is taken, or may not be opened.
    """
    config = uvicorn.Config(
        create_app(synthesizers, settings),
        host=host,
        port=port,
        timeout_graceful_shutdown=round(settings.shutdown_s),
        log_level="info",
        access_log=False,
    )
    try:
        listening = config.bind_socket()
    except SystemExit:  # uvicorn's way to say so, after it has logged why
        raise UserError(f"{host}:{port} cannot be listened on: choose another --port") from None
    # uvicorn raises the signal again when all is done, for handlers that were there before it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
