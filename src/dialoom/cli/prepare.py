"""`dialoom prepare`: recordings with transcripts become a corpus of codes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialoom.errors import DataError
from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.data import PieceLimits, PrepareOptions, PrepareSummary
    from dialoom.text import Nonverbals

SHOWN_REJECTIONS = 5
SHOWN_TAGS = 5

STOPPED = "dialoom: stopped; what is encoded is kept, and the same command goes on from there"
STATUS_INTERRUPTED = 130


def prepare_command(
    source: Annotated[
        Path, typer.Argument(help="A folder, a table, tars, Parquet; a Hub id with hf.")
    ],
    out: Annotated[Path, typer.Argument(help="The corpus directory to make or to finish.")],
    format: Annotated[
        str, typer.Option(help="auto, ljspeech, csv, jsonl, folder, commonvoice, hf or webdataset.")
    ] = "auto",
    columns: Annotated[
        str, typer.Option(help="What the source calls its columns: text=sentence,audio=file.")
    ] = "",
    codec: Annotated[
        str, typer.Option(help="mini, dac, mimi, a Hub id, a directory or a mini weights file.")
    ] = "mini",
    language: Annotated[
        str | None, typer.Option(help="Of clips whose source names none, such as en.")
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Of clips whose source names none.")] = None,
    workers: Annotated[int, typer.Option(help="Clips in work at a time.")] = 2,
    device: Annotated[str, typer.Option(help="Where the codec runs: cpu, cuda.")] = "cpu",
    valid_fraction: Annotated[
        float, typer.Option(help="Share of the clips kept for validation, chosen by their ids.")
    ] = 0.05,
    loudness: Annotated[str, typer.Option(help="Of each clip in LUFS, or off.")] = "-20",
    edge_silence: Annotated[
        str, typer.Option(help="Seconds left of the silence before and after, or off.")
    ] = "0.2",
    engine: Annotated[
        str, typer.Option(help="local, or ray: the cluster of RAY_ADDRESS, else this machine.")
    ] = "local",
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Read a Hub id as it comes, nothing downloaded.")
    ] = False,
    subset: Annotated[
        str | None, typer.Option(help="With --streaming: which configuration of the dataset.")
    ] = None,
    dialogue: Annotated[
        bool, typer.Option("--dialogue", help="Join turns to clips of [S1] … [S2] …, 5 to 20 s.")
    ] = False,
    split_long: Annotated[
        bool,
        typer.Option("--split-long", help="Cut recordings without transcripts, 3 to 20 s (vad)."),
    ] = False,
    asr_model: Annotated[
        str | None,
        typer.Option(help="The Whisper that transcribes recordings without transcripts (asr)."),
    ] = None,
    min_seconds: Annotated[
        float | None, typer.Option(help="The least length with --dialogue or --split-long.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="The greatest length with --dialogue or --split-long.")
    ] = None,
) -> None:
    """Turns recordings with transcripts into a corpus of codes. Run again, it goes on."""
    try:
        with _terminate_as_ctrl_c():
            from dialoom.data import Columns, PrepareOptions

            given = min_seconds is not None or max_seconds is not None
            if given and not (dialogue or split_long):
                raise DataError("--min-seconds and --max-seconds need --dialogue or --split-long")
            options = PrepareOptions(
                format=format,
                columns=Columns.parse(columns),
                codec=codec,
                device=device,
                language=language,
                speaker=speaker,
                workers=workers,
                valid_fraction=valid_fraction,
                loudness_lufs=_number_or_off("--loudness", loudness),
                edge_silence_s=_number_or_off("--edge-silence", edge_silence),
                engine=engine,
                asr_model=asr_model,
                dialogue=_limits("dialogue", min_seconds, max_seconds) if dialogue else None,
                split_long=_limits("split", min_seconds, max_seconds) if split_long else None,
            )
            summary = _prepare(source, out, options, _stream_of(subset, streaming=streaming))
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
        raise typer.Exit(STATUS_INTERRUPTED) from None
    for line in _describe(out, summary):
        typer.echo(line)


def _number_or_off(option: str, value: str) -> float | None:
    if value == "off":
        return None
    try:
        return float(value)
    except ValueError:
        raise DataError(f"{option} {value!r}: must be a number or off") from None


@contextmanager
def _terminate_as_ctrl_c() -> Iterator[None]:
    """SIGTERM stops like Ctrl-C, which saves what is ready; unhandled, it would end the process."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class _Stream:
    """That the source is streamed, and which configuration of it."""

    subset: str | None


def _stream_of(subset: str | None, *, streaming: bool) -> _Stream | None:
    if subset is not None and not streaming:
        raise DataError(f"--subset {subset}: goes with --streaming only; add that")
    return _Stream(subset) if streaming else None


def _prepare(
    source: Path, out: Path, options: "PrepareOptions", stream: _Stream | None
) -> "PrepareSummary":
    from dialoom.data import prepare
    from dialoom.data.stream_preparation import prepare_stream

    with counted_progress("listen") as listening, counted_progress("prepare") as progress:
        if stream is None:
            return prepare(source, out, options, progress=progress, listening=listening)
        return prepare_stream(str(source), out, options, subset=stream.subset, progress=progress)


def _limits(kind: str, min_s: float | None, max_s: float | None) -> "PieceLimits":
    """How long clips are made; a length that is not given is the usual one of its kind."""
    from dialoom.data.dialogue import DIALOGUE_LIMITS
    from dialoom.data.listening import SPLIT_LIMITS

    usual = DIALOGUE_LIMITS if kind == "dialogue" else SPLIT_LIMITS
    return replace(
        usual,
        min_s=usual.min_s if min_s is None else min_s,
        max_s=usual.max_s if max_s is None else max_s,
    )


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
    unknown = summary.unknown_tags
    if unknown.num_clips:
        more = ", …" if len(unknown.tags) > SHOWN_TAGS else ""
        lines.append(
            f"{unknown.num_clips} clips hold tags that no byte stands for, read letter by letter: "
            f"{', '.join(unknown.tags[:SHOWN_TAGS])}{more}; give them bytes by model.tags in the "
            "recipe"
        )
    if summary.nonverbals.num_known or summary.nonverbals.unknown:
        lines.append(_describe_sounds(summary.nonverbals))
    if rejections:
        lines.append(f"{len(rejections)} rejected, all listed in {out / 'rejected.jsonl'}:")
        lines += [f"  {rejection}" for rejection in rejections[:SHOWN_REJECTIONS]]
    if len(rejections) > SHOWN_REJECTIONS:
        lines.append(f"  … and {len(rejections) - SHOWN_REJECTIONS} more")
    return lines


def _describe_sounds(sounds: "Nonverbals") -> str:
    """Such as "(laughs)"."""
    line = f"{sounds.num_known} non-verbal tags that Dia knows"
    if not sounds.unknown:
        return line
    shown = [f"{tag} {count}×" for tag, count in list(sounds.unknown.items())[:SHOWN_TAGS]]
    more = ", …" if len(sounds.unknown) > SHOWN_TAGS else ""
    return f"{line}, {sum(sounds.unknown.values())} that it does not: {', '.join(shown)}{more}"
