"""`dialoom demo`: the main job on the bundled clips."""

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    out: Annotated[Path, typer.Argument(help="Where the demo writes.")] = Path("demo"),
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]…", help="Other settings.")
    ] = None,
) -> None:
    """The whole job in minutes, offline, on a CPU: prepare, train, speak, report."""
    from dialoom.demo import run_demo

    for line in run_demo(out, overrides):
        typer.echo(line)
