"""Geometry of the charts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoom.evaluate.charts import Axes, fit_axes, nice_step, thin
from dialoom.evaluate.players import spread


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 10))), st.integers(3, 50))
def test_thinning_keeps_the_ends_and_the_range(points, most):
    thinned = thin(points, most)
    assert len(thinned) <= most or thinned == points
    if points:
        assert (thinned[0], thinned[-1]) == (points[0], points[-1])
        slack = 1e-9
        assert min(y for _, y in points) - slack <= min(y for _, y in thinned)
        assert max(y for _, y in thinned) <= max(y for _, y in points) + slack


@given(st.integers(1, 10_000), st.integers(2, 20))
def test_spreading_keeps_the_ends_and_repeats_nothing(count, most):
    chosen = spread(count, most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, most)
    assert (chosen[0], chosen[-1]) == (0, count - 1)


def test_a_line_runs_from_the_upper_left_to_the_lower_right():
    axes = Axes(max_step=10, top=8.0)
    series = axes.line("training", "train", [(0, 8.0), (5, math.nan), (10, 0.0)], dots=True)
    assert series.path == "M0 0 L1000 1000"
    assert series.dots == "M0 0h0 M1000 1000h0"


def test_one_spike_does_not_flatten_the_rest_and_guessing_is_always_inside():
    axes = fit_axes([100], [400.0] + [3.0] * 99, guessing_loss=6.94)
    assert 6.94 < axes.top < 8
    assert fit_axes([], [], guessing_loss=6.94).max_step == 1


@pytest.mark.parametrize(
    ("rough", "nice"), [(0.2, 0.2), (0.03, 0.05), (3, 5), (20, 20), (21, 50), (600, 1000)]
)
def test_nice_steps(rough, nice):
    assert nice_step(rough) == nice


def test_ticks_lie_on_the_axes():
    axes = Axes(max_step=60_000, top=7.5)
    assert [(t.label, t.percent) for t in axes.x_ticks(3)] == [
        ("0", 0),
        ("20k", pytest.approx(100 / 3)),
        ("40k", pytest.approx(200 / 3)),
        ("60k", 100),
    ]
    assert [t.label for t in axes.y_ticks()] == ["0", "2", "4", "6"]
