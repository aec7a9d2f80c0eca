"""The doctor's page: one file, sound and all, in the look of a run's report."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from dialoom.data.atomic import atomic_path
from dialoom.errors import AudioError, CodecError
from dialoom.evaluate.charts import UNITS, Tick, nice_step
from dialoom.evaluate.doctor import Diagnosis
from dialoom.evaluate.doctor_findings import Example, Finding
from dialoom.evaluate.doctor_subject import Subject
from dialoom.evaluate.doctor_text import letters_per_second
from dialoom.evaluate.players import Player, make_player
from dialoom.evaluate.report import TEMPLATE as REPORT_TEMPLATE
from dialoom.evaluate.standing import Figure

TEMPLATE = "doctor.html.jinja"
MAX_PLAYERS = 3
"""Examples of one finding that can be heard."""
MAX_HEARD_S = 40.0
NUM_BARS = 24


@dataclass(frozen=True)
class ShownExample:
    """One example, with its transcript and, of the first ones, its sound."""

    clip_id: str
    detail: str
    text: str
    player: Player | None


@dataclass(frozen=True)
class ShownFinding:
    """One finding as the page has it."""

    finding: Finding
    examples: tuple[ShownExample, ...]


@dataclass(frozen=True)
class Histogram:
    """How often which value: bars as SVG path data in a square of 1000 × 1000."""

    title: str
    note: str
    description: str
    bars: str
    x_ticks: tuple[Tick, ...]


def write_page(path: Path, diagnosis: Diagnosis, subject: Subject) -> None:
    """Writes the page; reads the sound of the examples once more.

    Raises:
        OSError: the disk does not take it.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(_read(TEMPLATE)).render(
        style=report_style(),
        diagnosis=diagnosis,
        headline=headline(diagnosis),
        figures=_figures(diagnosis),
        shown=_show_findings(diagnosis, subject),
        histograms=histograms(diagnosis, subject),
        targets=[
            (target.text, make_player(target.clip_id, "as target", target.sound, 1.0))
            for target in diagnosis.targets
        ],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def headline(diagnosis: Diagnosis) -> str:
    """The verdict in a line."""
    num_bad, num_notes = len(diagnosis.of("bad")), len(diagnosis.of("note"))
    notes = f"{num_notes} thing{'s' if num_notes != 1 else ''} to know"
    if num_bad:
        what = "1 thing spoils" if num_bad == 1 else f"{num_bad} things spoil"
        return f"{what} this {diagnosis.kind}, {notes}."
    return f"Nothing spoils this {diagnosis.kind}" + (f", {notes}." if num_notes else ".")


def report_style() -> str:
    """The style sheet of a run's report: the pages are to look alike, so there is only one."""
    return _read(REPORT_TEMPLATE).partition("<style>")[2].partition("</style>")[0]


def histograms(diagnosis: Diagnosis, subject: Subject) -> list[Histogram]:
    """Lengths and speeds of all clips, loudness and bandwidth of those that were heard."""
    heard = [found for found in diagnosis.sounds.values() if found is not None]
    utterances = subject.utterances
    speeds = [s for u in utterances if (s := letters_per_second(u)) is not None]
    columns: list[tuple[str, str, list[float]]] = [
        ("Length", "s", [u.duration_s for u in utterances if u.duration_s is not None]),
        ("Letters per second", "", speeds),
        ("Loudness", "dB", [found.loudness_db for found in heard]),
        ("Bandwidth", "kHz", [found.bandwidth_hz / 1000 for found in heard]),
        ("Silence", "%", [100 * found.silence_share for found in heard]),
    ]
    return [histogram(title, unit, values) for title, unit, values in columns if values]


def histogram(title: str, unit: str, values: Sequence[float]) -> Histogram:
    """Bars of equal width over the range of the values."""
    low, high = min(values), max(values)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=NUM_BARS, range=(low, high))
    width = UNITS / NUM_BARS
    heights = counts / counts.max() * UNITS
    bars = " ".join(
        f"M{i * width + 3:.0f} {UNITS}v{-height:.0f}h{width - 6:.0f}v{height:.0f}z"
        for i, height in enumerate(heights)
        if height
    )
    suffix = f" {unit}" if unit else ""
    median = float(np.median(values))
    note = f"median {median:.1f}{suffix}"
    return Histogram(
        title=title,
        note=note,
        description=f"{title} of {len(values)} clips: {note}, {low:.1f} to {high:.1f}{suffix}",
        bars=bars,
        x_ticks=_ticks(float(edges[0]), float(edges[-1])),
    )


def _ticks(low: float, high: float) -> tuple[Tick, ...]:
    step = nice_step((high - low) / 3)
    first = int(np.ceil(low / step))
    values = [step * i for i in range(first, int(np.floor(high / step)) + 1)]
    return tuple(Tick(f"{value:g}", 100 * (value - low) / (high - low)) for value in values)


def _show_findings(diagnosis: Diagnosis, subject: Subject) -> list[ShownFinding]:
    """The bad ones first."""
    places = {utterance.id: i for i, utterance in enumerate(subject.utterances)}
    return [
        ShownFinding(
            finding,
            tuple(
                _show(example, subject, places, with_sound=number < MAX_PLAYERS)
                for number, example in enumerate(finding.examples)
            ),
        )
        for finding in (*diagnosis.of("bad"), *diagnosis.of("note"))
    ]


def _show(
    example: Example, subject: Subject, places: dict[str, int], *, with_sound: bool
) -> ShownExample:
    place = places.get(example.clip_id)
    if place is None:
        return ShownExample(example.clip_id, example.detail, "", None)
    utterance = subject.utterances[place]
    player = None
    # Without a length there is no sound; an hour of it would be the page.
    if with_sound and utterance.duration_s and utterance.duration_s <= MAX_HEARD_S:
        player = _hear(subject, place, example)
    return ShownExample(example.clip_id, example.detail, utterance.text, player)


def _hear(subject: Subject, place: int, example: Example) -> Player:
    try:
        sound = subject.sound(place)
    except (AudioError, CodecError) as error:
        return Player(example.clip_id, "", problem=str(getattr(error, "reason", error)))
    return make_player(example.clip_id, example.detail, sound, sound.duration_s)


def _figures(diagnosis: Diagnosis) -> list[Figure]:
    hours = diagnosis.hours
    length = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    mean_s = 3600 * hours / diagnosis.num_clips if diagnosis.num_clips else 0.0
    num_bad, num_notes = len(diagnosis.of("bad")), len(diagnosis.of("note"))
    return [
        Figure("Clips", f"{diagnosis.num_clips:,}", f"{mean_s:.1f} s on average"),
        Figure("Speech", length, f"sound of {len(diagnosis.sounds)} clips examined"),
        Figure("Bad", str(num_bad), f"and {num_notes} to know"),
        Figure("In order", str(len(diagnosis.of("good"))), "checks without a finding"),
    ]


def _read(name: str) -> str:
    return files("dialoom.evaluate").joinpath(name).read_text(encoding="utf-8")
