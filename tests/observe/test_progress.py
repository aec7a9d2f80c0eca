"""A log gets a line now and then, a terminal gets a bar."""

import io
from functools import partial

import pytest
from rich.console import Console

from dialoom.observe import counted_progress, format_seconds, open_progress
from dialoom.observe.progress import LogProgress, TerminalProgress, TimeLeft

LONG = "a line of a log is not broken, however long it is, or nobody could search for it " * 3


def test_a_log_has_the_first_line_the_last_and_few_between():
    stream = io.StringIO()
    progress = open_progress("train", total_steps=1000, console=Console(file=stream))
    assert isinstance(progress, LogProgress)
    progress.note(LONG)
    for step in range(1, 1001):
        progress.update(step, f"loss {step}")
    progress.close()
    assert stream.getvalue().splitlines() == [
        LONG,
        "train 1/1000  loss 1",
        "train 1000/1000  loss 1000",
    ]


def test_a_log_has_a_line_every_so_many_seconds():
    stream = io.StringIO()
    progress = LogProgress("train", total_steps=3, console=Console(file=stream), every_s=0.0)
    for step in range(1, 4):
        progress.update(step)
    assert stream.getvalue().splitlines() == ["train 1/3", "train 2/3", "train 3/3"]


def test_a_terminal_shows_text_in_brackets_as_it_is():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=120)
    progress = open_progress("train [x]", total_steps=10, console=console)
    assert isinstance(progress, TerminalProgress)
    progress.update(10, "loss 1.5 [S1]")
    progress.note("sample '[S1] Hello.'")
    progress.close()
    shown = stream.getvalue()
    assert "train [x]" in shown
    assert "loss 1.5 [S1]" in shown
    assert "sample '[S1] Hello.'" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min"), (-3, "0 s")],
)
def test_seconds_in_words(seconds, text):
    assert format_seconds(seconds) == text


def test_time_left_is_that_of_the_pace_since_the_first_count(monkeypatch):
    """Work that goes on counts what was done before, which took no time now."""
    clock = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr("dialoom.observe.progress.time.monotonic", lambda: next(clock))
    left = TimeLeft()
    assert left.after(50, 100) is None
    assert left.after(60, 100) == 40.0
    assert left.after(100, 100) == 0.0


def test_time_left_is_unknown_where_the_total_is():
    left = TimeLeft()
    assert [left.after(done, 0) for done in (1, 2)] == [None, None]


@pytest.mark.parametrize(("at_most", "said"), [(False, "  2 rejected  "), (True, "at most ")])
def test_counted_work_says_how_long_it_takes(at_most, said, capsys, monkeypatch):
    of_every = partial(LogProgress, every_s=0.0)
    monkeypatch.setattr("dialoom.observe.progress.LogProgress", of_every)
    with counted_progress("prepare", at_most=at_most) as report:
        for done in (1, 2, 4):
            report(done, 4, 2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "prepare 1/4  2 rejected"
    assert said in lines[1]
    assert lines[1].endswith(" s left")
    assert lines[2] == "prepare 4/4  2 rejected  0 s left"
