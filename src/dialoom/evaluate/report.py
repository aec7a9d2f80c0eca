"""`dialoom report`: a run as one HTML page that needs no network and no other file."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from dialoom.errors import DataError
from dialoom.evaluate.curves import loss_charts, other_charts
from dialoom.evaluate.players import listening_matrix
from dialoom.evaluate.standing import figures
from dialoom.evaluate.verdict import judge
from dialoom.observe import METRICS_FILE, DataRecord, RunMetrics, format_seconds, read_metrics

REPORT_FILE = "report.html"
RECIPE_FILE = "recipe.yaml"
TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Settings:
    """One section of the recipe, as (name, value) pairs; nested names are joined by dots."""

    section: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ChannelRow:
    """One channel's last figures, as text."""

    channel: int
    first_loss: str
    train_loss: str
    valid_loss: str
    train_accuracy: str
    valid_accuracy: str


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` into a run's directory, from nothing but what lies there.

    Raises:
        DataError: the directory is no run's, holds no records, or its recipe is damaged.
    """
    metrics = _read_run(run_dir)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("dialoom.evaluate").joinpath(TEMPLATE).read_text(encoding="utf-8")
    )
    matrix = listening_matrix(run_dir, metrics.samples)
    sections = {
        "samples": matrix.rows,
        "loss": loss_charts(metrics),
        "courses": other_charts(metrics),
        "data": data_facts(metrics.data[-1]) if metrics.data else (),
        "settings": read_settings(run_dir / RECIPE_FILE),
        "events": metrics.events,
    }
    page = template.render(
        run_name=run_dir.resolve().name,
        verdict=judge(metrics, heard=matrix.heard),
        figures=figures(metrics),
        channels=channel_rows(metrics),
        matrix=matrix,
        sections={name: content for name, content in sections.items() if content},
    )
    path = run_dir / REPORT_FILE
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def channel_rows(metrics: RunMetrics) -> tuple[ChannelRow, ...]:
    """The charts' last figures as a table."""
    if not metrics.train:
        return ()
    first, last = metrics.train[0], metrics.train[-1]
    valid = metrics.valid[-1] if metrics.valid else None
    return tuple(
        ChannelRow(
            channel=channel,
            first_loss=_number(first.loss_channels[channel]),
            train_loss=_number(last.loss_channels[channel]),
            valid_loss=_number(valid.loss_channels[channel]) if valid else "–",
            train_accuracy=_percent(last.accuracy_channels[channel]),
            valid_accuracy=_percent(valid.accuracy_channels[channel]) if valid else "–",
        )
        for channel in range(len(last.loss_channels))
    )


def data_facts(data: DataRecord) -> tuple[tuple[str, str], ...]:
    """What the run is trained on, as (name, value)."""
    return (
        ("corpus", data.corpus),
        ("codec", data.codec),
        ("for training", f"{data.num_clips:,} clips, {format_seconds(data.seconds)}"),
        ("for validation", f"{data.num_valid_clips:,} clips, {format_seconds(data.valid_seconds)}"),
        ("left out, beyond a limit", f"{data.num_left_out:,} clips"),
        ("length of a clip", f"median {data.median_s:.1f} s, longest {data.longest_s:.1f} s"),
        ("text", f"{data.text_bytes_per_second:.1f} bytes a second"),
        ("languages", data.languages or "none named"),
    )


def read_settings(path: Path) -> tuple[Settings, ...]:
    """The recipe's sections; none if the run has no recipe beside it.

    Raises:
        DataError: the file is no YAML mapping.
    """
    if not path.is_file():
        return ()
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: is not YAML ({reason}); restore or remove the file") from error
    if not isinstance(recipe, dict):
        raise DataError(f"{path}: is not a mapping of settings; restore or remove the file")
    sections = {k: v for k, v in recipe.items() if isinstance(v, dict)}
    general = {k: v for k, v in recipe.items() if k not in sections}
    named = {"general": general, **sections} if general else sections
    return tuple(Settings(str(name), tuple(_flatten(values))) for name, values in named.items())


def _read_run(run_dir: Path) -> RunMetrics:
    remedy = f"give the directory that 'dialoom train' wrote, the one with {METRICS_FILE}"
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: there is no such directory; {remedy}")
    if not (run_dir / METRICS_FILE).is_file():
        raise DataError(f"{run_dir}: holds no {METRICS_FILE}, so it is no run; {remedy}")
    metrics = read_metrics(run_dir / METRICS_FILE)
    if not (metrics.train or metrics.valid or metrics.samples):
        raise DataError(f"{run_dir}: its {METRICS_FILE} has no step and no sample yet; train first")
    return metrics


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "–"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{name}.")
        else:
            yield name, _spell(value)


def _spell(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return _spell_list(value)
        case _:
            return str(value)


def _spell_list(values: Sequence[Any]) -> str:
    return ", ".join(_spell(value) for value in values) or "none"
