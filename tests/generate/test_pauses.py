"""Pauses are shortened at joins and nowhere else, and nothing clicks."""

import numpy as np
import pytest

from dialoom.generate.pauses import PauseGate

HOP = 8
MOST = 3
SOUND, SILENCE = 0.5, 0.001


def frames(pattern: str) -> np.ndarray:
    """A frame for each letter: x sounds, the others are quiet, each in a level of its own."""
    levels = [SOUND if letter == "x" else SILENCE * (1 + i % 5) for i, letter in enumerate(pattern)]
    return np.repeat(np.array(levels, np.float32), HOP)


def through(pattern: str, joins: list[int], *, at_once: int = 1) -> tuple[str, PauseGate]:
    gate = PauseGate(HOP, MOST)
    for join in joins:
        gate.join(join)
    samples = frames(pattern)
    step = at_once * HOP
    out = [gate.push(samples[start : start + step]) for start in range(0, samples.size, step)]
    loud = np.abs(np.concatenate(out).reshape(-1, HOP)).max(axis=1) > 0.01
    return "".join("x" if is_loud else "-" for is_loud in loud), gate


@pytest.mark.parametrize("at_once", [1, 2, 50])
@pytest.mark.parametrize(
    ("pattern", "joins", "expected"),
    [
        ("x------x", [], "x------x"),  # a speaker's own pause
        ("x------x", [4], "x---x"),  # a join in it
        ("x------x", [7], "x---x"),  # a part that ends in a pause
        ("x------x", [1], "x---x"),  # and one that begins in it
        ("x--x", [2], "x--x"),
        ("xx", [1], "xx"),
        ("x---x", [2], "x---x"),
        ("------x", [], "------x"),
        ("x----x----x", [3], "x---x----x"),
        ("x-------x", [3, 5], "x---x"),  # a part of silence
    ],
)
def test_pauses(pattern: str, joins: list[int], expected: str, at_once: int) -> None:
    assert through(pattern, joins, at_once=at_once)[0] == expected


def test_the_cut_fades_from_the_frame_before_to_the_frame_after() -> None:
    gate = PauseGate(HOP, MOST)
    gate.join(4)
    ramp = np.linspace(-0.009, 0.009, 8 * HOP, dtype=np.float32)  # a pause that is never still
    ramp[:HOP] = ramp[-HOP:] = SOUND
    out = gate.push(ramp)
    inner = out[HOP:-HOP]
    assert inner.size == MOST * HOP
    assert np.abs(np.diff(inner)).max() < 0.004, "the frames that are left out spanned 0.011"
    assert gate.kept == [0, 1, 2, 6, 7]
    assert gate.sounding == [0, 7]
