"""`dialoom evaluate`: a model measured on a corpus, its loss and its speech."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dialoom.errors import DataError
from dialoom.observe import counted_progress

if TYPE_CHECKING:
    from dialoom.data import Corpus
    from dialoom.evaluate.evaluation import EvaluateOptions, Evaluation
    from dialoom.evaluate.speech import SpeechSummary
    from dialoom.generate import Synthesizer
    from dialoom.observe import ValidRecord


def evaluate_command(
    model: Annotated[str, typer.Argument(help="A model's directory.")],
    corpus: Annotated[Path, typer.Argument(help="A corpus made by `dialoom prepare`.")],
    split: Annotated[str, typer.Option(help="valid, train or all.")] = "valid",
    max_clips: Annotated[int, typer.Option(help="At most so many, of all lengths.")] = 64,
    seeds: Annotated[int, typer.Option(help="How often each text is spoken.")] = 3,
    recordings: Annotated[
        Path | None, typer.Option(help="The folder that the corpus was prepared from.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all figures there, each clip's too.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.3,
    top_p: Annotated[float, typer.Option(help="Nucleus; 1 is off.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Ids of a channel that stay; 0 is all.")] = 45,
    cfg_scale: Annotated[float, typer.Option(help="Guidance; 0 is off.")] = 3.0,
    codec: Annotated[str | None, typer.Option(help="In place of the model's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    revision: Annotated[
        str | None, typer.Option(help="0626 or 2025-04, where the model does not say it.")
    ] = None,
) -> None:
    """Measures a model: its loss on the clips, and the speech it makes of their texts."""
    from dialoom.data import Corpus
    from dialoom.evaluate.evaluation import EvaluateOptions
    from dialoom.generate import SamplingSettings, Synthesizer
    from dialoom.model import Revision

    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise DataError(f"--json {json_file}: name a file in a directory that is there")
    sampling = SamplingSettings(temperature, top_p, top_k, cfg_scale)
    options = EvaluateOptions(
        split=split,
        max_clips=max_clips,
        seeds=seeds,
        sampling=sampling,
        recordings=recordings,
    )
    found = Corpus.open(corpus)
    parsed = None if revision is None else Revision.parse(revision)
    synthesizer = Synthesizer.load(model, codec=codec, device=device, revision=parsed)
    evaluation = _evaluate(synthesizer, found, options)
    for line in _describe(evaluation, options):
        typer.echo(line)
    if json_file is not None:
        _write_json(json_file, model, corpus, options, evaluation)
        typer.echo(f"all figures in {json_file}")


def _evaluate(
    synthesizer: "Synthesizer", corpus: "Corpus", options: "EvaluateOptions"
) -> "Evaluation":
    from dialoom.evaluate.evaluation import evaluate_model

    with counted_progress("evaluate") as progress:
        return evaluate_model(
            synthesizer, corpus, options, progress=lambda done, total: progress(done, total, 0)
        )


def _write_json(
    path: Path, model: str, corpus: Path, options: "EvaluateOptions", evaluation: "Evaluation"
) -> None:
    from dialoom import __version__
    from dialoom.data.atomic import atomic_path

    content = {
        "dialoom": __version__,
        "model": model,
        "corpus": str(corpus),
        "options": asdict(options),
        "distortion_ratio": evaluation.distortion_ratio,
        **asdict(evaluation),
    }
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """What JSON can hold: no path, and null for a figure that there is none of."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Path():
            return str(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case _:
            return value


def _describe(evaluation: "Evaluation", options: "EvaluateOptions") -> Iterator[str]:
    loss, sampling = evaluation.loss, options.sampling
    left_out = evaluation.num_left_out
    yield (
        f"{loss.num_clips} clips of split {options.split}, each spoken with {options.seeds} seeds, "
        f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k}, "
        f"guidance {sampling.cfg_scale:g}"
        + (f"; {left_out} clips are too long for the model and left out" if left_out else "")
    )
    yield ""
    yield from _loss_table(loss)
    yield ""
    yield from _speech_table(evaluation)


def _loss_table(loss: "ValidRecord") -> Iterator[str]:
    """Teacher-forced figures, a column for each channel."""
    accuracy = sum(loss.accuracy_channels) / len(loss.accuracy_channels)
    rows: tuple[tuple[str, list[str]], ...] = (
        ("channel", ["mean", *map(str, range(len(loss.loss_channels)))]),
        ("loss", [f"{value:.3f}" for value in (loss.loss, *loss.loss_channels)]),
        ("accuracy", [f"{value:.1%}" for value in (accuracy, *loss.accuracy_channels)]),
    )
    for name, cells in rows:
        yield f"{name:<10}" + "".join(f"{cell:>7}" for cell in cells)
    yield f"end of clip: loss {loss.eos_loss:.3f}, {loss.eos_recall:.1%} recalled"


def _speech_table(evaluation: "Evaluation") -> Iterator[str]:
    """Speech beside the ceiling, a column for each comparison."""
    from dialoom.evaluate.comparison import SPEECH_ROWS

    columns: list[tuple[str, SpeechSummary]] = []
    if evaluation.against_recordings is not None and evaluation.ceiling is not None:
        columns.append(("speech", evaluation.against_recordings))
        columns.append(("codec alone", evaluation.ceiling))
    columns.append(("speech to codec", evaluation.against_codec))
    yield f"{'':<26}" + "".join(f"{title:>18}" for title, _ in columns)
    for name, show in SPEECH_ROWS:
        yield f"{name:<26}" + "".join(f"{show(found):>18}" for _, found in columns)
    if evaluation.distortion_ratio is not None:
        yield f"{'distortion ÷ codec alone':<26}{evaluation.distortion_ratio:>18.2f}"
        yield "speech, codec alone: to the recordings; to codec: to the clips as their codes sound"
    else:
        yield "to codec: to the clips as their codes sound; --recordings compares with these too"
