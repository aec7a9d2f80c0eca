"""The charts of the report: the loss of every channel, and what else has a course."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dialoom.evaluate.charts import Axes, LineChart, fit_axes, fit_values
from dialoom.evaluate.standing import GUESSING_LOSS
from dialoom.observe import RunMetrics, SpeechRecord, TrainRecord, ValidRecord

Points = list[tuple[float, float]]


def loss_charts(metrics: RunMetrics) -> tuple[LineChart, ...]:
    """The mean over all channels first, then one chart a channel, all with the same axes."""
    records: list[TrainRecord | ValidRecord] = [*metrics.train, *metrics.valid]
    if not records:
        return ()
    axes = fit_axes(
        [record.step for record in records],
        [loss for record in records for loss in record.loss_channels],
        guessing_loss=GUESSING_LOSS,
    )
    titles = ["All channels", *(f"Channel {c}" for c in range(len(records[0].loss_channels)))]
    return tuple(_loss_chart(axes, metrics, title, i - 1) for i, title in enumerate(titles))


def other_charts(metrics: RunMetrics) -> tuple[LineChart, ...]:
    """What the text tells, ends, speech, gradient, rate and speed; none that has no points."""
    charts = (_chart(curve, metrics) for curve in _curves())
    return tuple(chart for chart in charts if chart is not None)


@dataclass(frozen=True)
class _Curve:
    title: str
    unit: str
    lines: tuple[tuple[str, str, Callable[[RunMetrics], Points]], ...]
    form: str = ".2f"


def _curves() -> Iterator[_Curve]:
    yield _Curve("What the text tells", "nats", (("validation", "valid", _of_valid("text_gain")),))
    yield _Curve(
        "Ends recalled",
        "of clips",
        (
            ("training", "train", _of_train("eos_recall")),
            ("validation", "valid", _of_valid("eos_recall")),
        ),
        ".0%",
    )
    for name, title in (
        ("retrieval", "Nearest to its own recording"),
        ("stopped", "Speech that stops"),
        ("length", "Speech of the right length"),
    ):
        yield _Curve(title, "of validation texts", (("", "valid", _of_speech(name)),), ".0%")
    yield _Curve("Distortion", "dB", (("", "valid", _of_speech("distortion_db")),), ".1f")
    yield _Curve("Norm of the gradient", "", (("", "train", _of_train("grad_norm")),), ".3g")
    yield _Curve("Learning rate", "", (("", "train", _of_train("lr")),), ".3g")
    speed = _of_train("audio_seconds_per_second")
    yield _Curve("Speed", "audio-seconds a second", (("", "train", speed),), ".1f")


def _of_train(name: str) -> Callable[[RunMetrics], Points]:
    return lambda metrics: _points(metrics.train, name)


def _of_valid(name: str) -> Callable[[RunMetrics], Points]:
    return lambda metrics: _points(metrics.valid, name)


def _of_speech(name: str) -> Callable[[RunMetrics], Points]:
    return lambda metrics: _points(metrics.speech, name)


def _points(records: Sequence[TrainRecord | ValidRecord | SpeechRecord], name: str) -> Points:
    """What is a number: NaN is not equal to itself."""
    found = [(float(record.step), float(getattr(record, name))) for record in records]
    return [(step, value) for step, value in found if value == value]


def _chart(curve: _Curve, metrics: RunMetrics) -> LineChart | None:
    lines = [(name, style, find(metrics)) for name, style, find in curve.lines]
    lines = [line for line in lines if line[2]]
    if not lines:
        return None
    every = [point for _, _, points in lines for point in points]
    axes = fit_values([int(step) for step, _ in every], [value for _, value in every])
    notes = tuple(
        f"{name} {points[0][1]:{curve.form}} → {points[-1][1]:{curve.form}}".strip()
        for name, _, points in lines
    )
    return LineChart(
        title=curve.title,
        description=f"{curve.title}, {curve.unit} over steps: {', '.join(notes)}",
        notes=(*notes, *([curve.unit] if curve.unit else [])),
        series=tuple(axes.line(n, s, points, dots=s == "valid") for n, s, points in lines),
        x_ticks=axes.x_ticks(3),
        y_ticks=axes.y_ticks(),
    )


def _loss_chart(axes: Axes, metrics: RunMetrics, title: str, channel: int) -> LineChart:
    """One chart; channel -1 is the mean over all."""
    train, valid = (
        [(record.step, _loss(record, channel)) for record in records]
        for records in (metrics.train, metrics.valid)
    )
    guessing = [(0, GUESSING_LOSS), (axes.max_step, GUESSING_LOSS)]
    series = [axes.line(f"guessing, {GUESSING_LOSS:.2f}", "guess", guessing)]
    notes = []
    if train:
        series.append(axes.line("training", "train", train))
        notes.append(f"training {train[0][1]:.2f} → {train[-1][1]:.2f}")
    if valid:
        series.append(axes.line("validation", "valid", valid, dots=True))
        notes.append(f"validation {valid[0][1]:.2f} → {valid[-1][1]:.2f}")
    return LineChart(
        title=title,
        description=f"{title}: loss over {axes.max_step:,} steps, {', '.join(notes)} nats",
        notes=tuple(notes),
        series=tuple(series),
        x_ticks=axes.x_ticks(6 if channel < 0 else 3),
        y_ticks=axes.y_ticks(),
    )


def _loss(record: TrainRecord | ValidRecord, channel: int) -> float:
    return record.loss if channel < 0 else record.loss_channels[channel]
