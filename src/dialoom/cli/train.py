"""`dialoom train`: trains by a recipe."""

import os
from pathlib import Path
from typing import Annotated

import typer


def train_command(
    recipe: Annotated[Path, typer.Argument(help="A recipe in YAML.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]…", help="Other settings.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="Go on with this run.")
    ] = None,
) -> None:
    """Trains by a recipe. Ctrl-C leaves a checkpoint to go on from."""
    from dialoom.recipe import RECIPE_FILE, train

    result = train(recipe, overrides, resume=resume)
    outcome = result.outcome
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes one speaks
        return
    if not outcome.finished:
        typer.echo(
            f"stopped after step {outcome.step}: go on with  "
            f"dialoom train {result.run_dir / RECIPE_FILE} --resume {result.run_dir}"
        )
        return
    best = "" if outcome.best_loss is None else f", best validation loss {outcome.best_loss:.3f}"
    typer.echo(f"{outcome.step} steps done{best}")
    typer.echo(f"model:  {result.run_dir / 'checkpoints' / 'last'}")
    typer.echo(f"report: {result.run_dir / 'report.html'}")
