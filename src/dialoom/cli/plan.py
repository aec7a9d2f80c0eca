"""`dialoom plan`: what a recipe costs before it runs."""

from pathlib import Path
from typing import Annotated

import typer


def plan_command(
    recipe: Annotated[Path, typer.Argument(help="A recipe in YAML.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]…", help="Other settings.")
    ] = None,
    gpu_memory: Annotated[
        float | None, typer.Option(metavar="GB", min=0, help="Of the GPU that is to be used.")
    ] = None,
    tflops: Annotated[
        float, typer.Option(min=0.001, help="Useful TFLOP/s; a third of the peak is common.")
    ] = 50.0,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of an hour of the machine, in any currency.")
    ] = None,
) -> None:
    """Estimates memory, time and cost of a recipe."""
    from dialoom.observe import format_seconds
    from dialoom.recipe.plan import plan

    cost = plan(recipe, overrides)
    typer.echo(f"parameters: {cost.num_parameters:,}, of which {cost.num_trained:,} train")
    for name, size in cost.memory_bytes.items():
        typer.echo(f"  {name:<12} {size / 1e9:7.2f} GB")
    typer.echo(f"memory:     {cost.total_bytes / 1e9:.2f} GB")
    seconds = cost.seconds(tflops)
    typer.echo(
        f"run:        {cost.steps} steps, {cost.audio_hours:.1f} hours of speech, "
        f"{cost.flops / 1e15:.3g} PFLOP: {format_seconds(seconds)} at {tflops:g} TFLOP/s"
    )
    if price is not None:
        typer.echo(f"cost:       {price * seconds / 3600:.2f}")
    if gpu_memory is not None:
        typer.echo(_verdict(cost.total_bytes / 1e9, gpu_memory))


def _verdict(needed_gb: float, gpu_memory_gb: float) -> str:
    if needed_gb <= gpu_memory_gb:
        return f"it fits into {gpu_memory_gb:g} GB, {gpu_memory_gb - needed_gb:.1f} GB to spare"
    return (
        f"it lacks {needed_gb - gpu_memory_gb:.1f} GB: lower train.memory_steps or "
        "data.max_seconds, or take train.optimizer=adamw8bit or train.lora"
    )
