"""`dialoom prepare`: recordings with transcripts become a corpus of codes."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.observe import Progress, open_progress

if TYPE_CHECKING:
    from dialoom.data.preparation import PrepareSummary

SHOWN_REJECTIONS = 5


def prepare_command(
    source: Annotated[Path, typer.Argument(help="A folder or a table of recordings.")],
    out: Annotated[Path, typer.Argument(help="The corpus directory to make or to finish.")],
    format: Annotated[str, typer.Option(help="auto, ljspeech, csv or folder.")] = "auto",
    codec: Annotated[
        str, typer.Option(help="mini, dac, mimi, a Hub id, a directory or a mini weights file.")
    ] = "mini",
    language: Annotated[
        str | None, typer.Option(help="Of clips whose source names none, such as en.")
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Of clips whose source names none.")] = None,
    workers: Annotated[int, typer.Option(help="Threads that read ahead of the codec.")] = 2,
    device: Annotated[str, typer.Option(help="Where the codec runs: cpu, cuda.")] = "cpu",
    valid_fraction: Annotated[
        float, typer.Option(help="Share of the clips kept for validation, chosen by their ids.")
    ] = 0.05,
) -> None:
    """Turns recordings with transcripts into a corpus of codes. Run again, it goes on."""
    from dialoom.data.preparation import PrepareOptions, prepare

    options = PrepareOptions(
        format=format,
        codec=codec,
        device=device,
        language=language,
        speaker=speaker,
        workers=workers,
        valid_fraction=valid_fraction,
    )
    with ExitStack() as stack:
        bar: Progress | None = None

        def report(done: int, total: int, rejected: int) -> None:
            nonlocal bar
            if bar is None:
                bar = open_progress("prepare", total_steps=total)
                stack.callback(bar.close)
            bar.update(done, f"{rejected} rejected" if rejected else "")

        summary = prepare(source, out, options, progress=report)
    for line in _describe(out, summary):
        typer.echo(line)


def _describe(out: Path, summary: "PrepareSummary") -> list[str]:
    info, rejections = summary.info, summary.rejections
    lines = [
        f"{out}: {info.num_clips} clips, {info.hours:.2f} h "
        f"({info.num_train} train, {info.num_valid} valid), codec {info.codec.name}"
    ]
    if summary.num_reused:
        lines.append(f"{summary.num_reused} entries were there already and are kept")
    if info.num_valid == 0:
        lines.append("no clip fell to the split valid; a larger --valid-fraction gives some")
    if rejections:
        lines.append(f"{len(rejections)} rejected, all listed in {out / 'rejected.jsonl'}:")
        lines += [f"  {rejection}" for rejection in rejections[:SHOWN_REJECTIONS]]
    if len(rejections) > SHOWN_REJECTIONS:
        lines.append(f"  … and {len(rejections) - SHOWN_REJECTIONS} more")
    return lines
