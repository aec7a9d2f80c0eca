"""`dialoom`: one command per module; errors that a person can mend are one line and status 2.

The modules of the commands import what they work with when they are called, so that
`dialoom --help` is there at once.
"""

import os
import sys
from typing import Annotated

import typer

from dialoom.cli.convert import convert_command
from dialoom.cli.decode import decode_command
from dialoom.cli.demo import demo_command
from dialoom.cli.doctor import doctor_command
from dialoom.cli.evaluate import evaluate_command
from dialoom.cli.plan import plan_command
from dialoom.cli.prepare import prepare_command
from dialoom.cli.report import report_command
from dialoom.cli.serve import serve_command
from dialoom.cli.speak import speak_command
from dialoom.cli.train import train_command
from dialoom.cli.voice import voice_app
from dialoom.errors import UserError

# Read by OpenMP when torch is loaded. Threads that wait by spinning take the cores from whatever
# else runs there: beside another training this made a step ten times as long, alone it costs 2 %.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    name="dialoom",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def tell_version(is_asked: bool) -> bool:
    """Before any command, and in place of it."""
    if is_asked:
        from dialoom import __version__

        typer.echo(f"dialoom {__version__}")
        raise typer.Exit
    return is_asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show it and end.", callback=tell_version, is_eager=True),
    ] = False,
) -> None:
    """Trains Dia: recordings with transcripts in, a model that speaks them out."""


app.command("demo")(demo_command)
app.command("prepare")(prepare_command)
app.command("doctor")(doctor_command)
app.command("plan")(plan_command)
app.command("train")(train_command)
app.command("speak")(speak_command)
app.command("decode")(decode_command)
app.add_typer(voice_app, name="voice")
app.command("convert")(convert_command)
app.command("evaluate")(evaluate_command)
app.command("report")(report_command)
app.command("serve")(serve_command)


def main() -> None:
    """Entry point of the command line."""
    try:
        app()
    except UserError as error:
        typer.echo(f"dialoom: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except OSError as error:  # a full disk, a directory that may not be written to
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"dialoom: {place}{error.strerror or error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
