"""`dialoom serve MODEL`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dialoom.cli import speak_options as opt
from dialoom.errors import UserError

EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve_command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help="As 'dialoom speak' takes it; NAME=MODEL for the name that requests call it.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="DIALOOM_TOKEN", help="Clients must send it as bearer token."),
    ] = None,
    voices: Annotated[
        Path | None, typer.Option(help="Directory of voices, made by 'dialoom voice save'.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A run in progress to show at /run.")] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Texts spoken at once.")] = 16,
    max_queue: Annotated[int, typer.Option(min=1, help="Requests that may wait beyond.")] = 64,
    max_text: Annotated[int, typer.Option(min=1, help="Characters of a request.")] = 4096,
    max_body_mb: Annotated[float, typer.Option(help="Megabytes of a request.")] = 16.0,
    timeout: Annotated[float, typer.Option(help="Seconds for a request to be spoken.")] = 300.0,
    codec: opt.CodecName = None,
    device: opt.Device = "cpu",
    revision: opt.RevisionName = None,
) -> None:
    """Serves models over HTTP as OpenAI's API does, and a web page to try them."""
    _refuse_missing_extra()
    from dialoom.cli.speak import load_synthesizer
    from dialoom.serve import ServeSettings, serve

    settings = ServeSettings(
        token=token,
        voices=voices,
        run_dir=run,
        max_rows=max_batch,
        max_waiting=max_queue,
        max_text_chars=max_text,
        max_body_bytes=round(max_body_mb * 2**20),
        speak_timeout_s=timeout,
    )
    named = _named(models)
    synthesizers = {
        name: load_synthesizer(source, codec, device, revision) for name, source in named.items()
    }
    if token is None and host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo("serve: everybody who reaches this machine may use it: give --token", err=True)
    typer.echo(f"serve: {', '.join(named)} at http://{host}:{port}", err=True)
    serve(synthesizers, settings, host=host, port=port)


def _named(models: Sequence[str]) -> dict[str, str]:
    """Sources by name; without one, the last part of the source is its name."""
    named: dict[str, str] = {}
    for model in models:
        name, is_given, source = model.partition("=")
        if not is_given:
            name, source = Path(model).stem if "/" in model or "." in model else model, model
        if not name or not source or name in named:
            raise UserError(f"MODEL {model!r}: give NAME=MODEL, each name once")
        named[name] = source
    return named


def _refuse_missing_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise UserError(f"serve needs {', '.join(missing)}: pip install 'dialoom[serve]'")
