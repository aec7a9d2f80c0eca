"""Line charts for the report: geometry here, strokes and letters in the page's template.

Lines live in a square of 1000 × 1000 units that the page stretches; tick labels are text beside it,
placed by percent. So a chart fills a phone as well as a desk, with letters of one size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

UNITS = 1000
MAX_POINTS = 240
Y_TICKS = 4
MAX_LOSS_SHOWN = 12.0
"""Losses above are drawn at the upper edge: a first spike must not flatten the rest."""


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: what the legend says.
        style: CSS class, "train", "valid" or "guess".
        path: SVG path data of the line.
        dots: SVG path data of a dot at every point; empty where there are too many.
    """

    name: str
    style: str
    path: str
    dots: str


@dataclass(frozen=True)
class Tick:
    """A label at a share of an axis; percent counts from the left or from the top."""

    label: str
    percent: float


@dataclass(frozen=True)
class LineChart:
    """What the template draws.

    Attributes:
        title: the heading.
        description: what one sees, for those who do not see it.
        notes: the figures beside the heading.
    """

    title: str
    description: str
    notes: tuple[str, ...]
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Axes:
    """Ranges of a chart: steps from 0, values from `bottom`."""

    max_step: int
    top: float
    bottom: float = 0.0

    def line(
        self, name: str, style: str, points: Sequence[tuple[float, float]], *, dots: bool = False
    ) -> Series:
        """Points of (step, value); what is not a number is left out, many become few by means."""
        finite = [(x, y) for x, y in points if math.isfinite(y)]
        places = [self._place(x, y) for x, y in thin(finite, MAX_POINTS)]
        path = " ".join(f"{'L' if i else 'M'}{x:.0f} {y:.0f}" for i, (x, y) in enumerate(places))
        marks = " ".join(f"M{x:.0f} {y:.0f}h0" for x, y in places) if dots else ""
        return Series(name, style, path, marks)

    def x_ticks(self, count: int) -> tuple[Tick, ...]:
        step = nice_step(self.max_step / count)
        values = range(0, self.max_step + 1, max(1, round(step)))
        return tuple(Tick(_short(value), 100 * value / self.max_step) for value in values)

    def y_ticks(self) -> tuple[Tick, ...]:
        step = nice_step((self.top - self.bottom) / Y_TICKS)
        first, last = math.ceil(self.bottom / step), math.floor(self.top / step)
        values = [number * step for number in range(first, last + 1)]
        return tuple(Tick(f"{value:.12g}", 100 * (1 - self._share(value))) for value in values)

    def _place(self, step: float, value: float) -> tuple[float, float]:
        shown = min(max(value, self.bottom), self.top)
        return UNITS * step / self.max_step, UNITS * (1 - self._share(shown))

    def _share(self, value: float) -> float:
        return (value - self.bottom) / (self.top - self.bottom)


def fit_axes(steps: Sequence[int], losses: Sequence[float], *, guessing_loss: float) -> Axes:
    """Ranges from zero that hold all steps, nearly all losses, and the loss of guessing."""
    finite = sorted(loss for loss in losses if math.isfinite(loss))
    high = finite[round(0.98 * (len(finite) - 1))] if finite else 0.0
    top = min(max(high, guessing_loss) * 1.08, MAX_LOSS_SHOWN)
    return Axes(max_step=max([*steps, 1]), top=top)


def fit_values(steps: Sequence[int], values: Sequence[float]) -> Axes:
    """Ranges that hold zero, all steps and nearly all values: one outlier must not flatten them."""
    finite = sorted(value for value in values if math.isfinite(value))
    high = finite[round(0.98 * (len(finite) - 1))] if finite else 0.0
    low = min(0.0, finite[0]) if finite else 0.0
    span = max(high, 0.0) - low or 1.0
    bottom = low - 0.08 * span if low < 0 else 0.0
    return Axes(max_step=max([*steps, 1]), top=low + 1.08 * span, bottom=bottom)


def nice_step(rough: float) -> float:
    """The least of 1, 2, 5 × 10ⁿ that is not under `rough`, which is positive."""
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= rough)


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points, each the mean of its neighbours; the first and the last stay."""
    if len(points) <= most:
        return list(points)
    size = math.ceil((len(points) - 2) / (most - 2))
    inner = points[1:-1]
    groups = [inner[start : start + size] for start in range(0, len(inner), size)]
    means = [(_mean([x for x, _ in group]), _mean([y for _, y in group])) for group in groups]
    return [points[0], *means, points[-1]]


def _short(step: int) -> str:
    return f"{step // 1000}k" if step >= 10_000 and step % 1000 == 0 else f"{step:,}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
