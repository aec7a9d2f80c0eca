"""`dialoom doctor`: what is wrong with a corpus or a source, and what to do about it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.evaluate.doctor import Diagnosis
    from dialoom.evaluate.doctor_findings import Finding
    from dialoom.evaluate.doctor_subject import Limits, Subject

SHOWN_EXAMPLES = 3
STATUS_BAD = 1


def doctor_command(
    place: Annotated[
        Path, typer.Argument(metavar="CORPUS_OR_SOURCE", help="A corpus, or recordings.")
    ],
    report: Annotated[
        Path | None, typer.Option(help="Write a page there, with examples to hear.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all findings there.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 where something is bad.")
    ] = False,
    max_clips: Annotated[
        int, typer.Option(help="Of so many clips, spread evenly, the sound is examined.")
    ] = 100,
    targets: Annotated[
        int, typer.Option(help="Of so many clips the training targets are made sound again.")
    ] = 6,
    codec: Annotated[
        str | None, typer.Option(help="Of a source: mini if not given. Of a corpus: its own.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the codec runs: cpu, cuda.")] = "cpu",
    format: Annotated[str, typer.Option(help="Of a source, as for prepare.")] = "auto",
    columns: Annotated[
        str, typer.Option(help="What a source calls its columns: text=sentence,audio=file.")
    ] = "",
    recipe: Annotated[
        Path | None, typer.Option(help="Hold the clips against its limits and its tags.")
    ] = None,
) -> None:
    """Examines transcripts and sound before a training is paid for."""
    from dialoom.data import Columns
    from dialoom.evaluate.doctor import diagnose
    from dialoom.evaluate.doctor_subject import Limits, SubjectOptions, open_subject

    options = SubjectOptions(
        codec=codec,
        device=device,
        format=format,
        columns=Columns.parse(columns),
        limits=Limits() if recipe is None else _limits(recipe),
    )
    subject = open_subject(place, options)
    with counted_progress("listen") as progress:
        diagnosis = diagnose(subject, max_clips=max_clips, num_targets=targets, progress=progress)
    for line in _describe(diagnosis):
        typer.echo(line)
    if json_file is not None:
        _write_json(json_file, diagnosis)
        typer.echo(f"all findings in {json_file}")
    if report is not None:
        _write_page(report, diagnosis, subject)
    if strict and diagnosis.of("bad"):
        raise typer.Exit(STATUS_BAD)


def _limits(path: Path) -> "Limits":
    from dialoom.recipe import limits_of, load_recipe

    return limits_of(load_recipe(path))


def _write_json(path: Path, diagnosis: "Diagnosis") -> None:
    from dialoom.data.atomic import atomic_path

    text = json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _write_page(path: Path, diagnosis: "Diagnosis", subject: "Subject") -> None:
    from dialoom.evaluate.doctor_page import write_page

    write_page(path, diagnosis, subject)
    typer.echo(f"examples to hear in {path}")


def _describe(diagnosis: "Diagnosis") -> Iterator[str]:
    yield (
        f"{diagnosis.name}: a {diagnosis.kind} of {diagnosis.num_clips} clips, "
        f"{60 * diagnosis.hours:.1f} minutes; the sound of {len(diagnosis.sounds)} was examined"
    )
    for finding in (*diagnosis.of("bad"), *diagnosis.of("note")):
        yield from _describe_finding(finding)
    yield ""
    counts = {name: len(diagnosis.of(name)) for name in ("bad", "note", "good")}
    yield f"{counts['bad']} bad, {counts['note']} to know, {counts['good']} checks in order"


def _describe_finding(finding: "Finding") -> Iterator[str]:
    """What, how many; what to do; examples."""
    yield ""
    yield f"{finding.severity:<5}{finding.num_found:>6} × {finding.title}"
    yield f"{'':<14}→ {finding.advice}"
    for example in finding.examples[:SHOWN_EXAMPLES]:
        name = f"{_printable(example.clip_id)}: " if example.clip_id else ""
        yield f"{'':<14}{name}{_printable(example.detail)}"
    if finding.num_found > SHOWN_EXAMPLES:
        yield f"{'':<14}… and {finding.num_found - SHOWN_EXAMPLES} more"


def _printable(text: str) -> str:
    """Transcripts may hold anything, and a terminal obeys some of it."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
