"""`dialoom report RUN_DIR`."""

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="What 'dialoom train' wrote.")],
) -> None:
    """Makes a page of a run: curves, samples to hear, spectrograms. Prints where it is."""
    from dialoom.evaluate import write_report

    typer.echo(write_report(run_dir))
