"""Subtitles as players read them."""

from pathlib import Path

import pytest

from dialoom.errors import GenerationError
from dialoom.generate.narration import SpokenPart
from dialoom.generate.subtitles import to_srt, to_vtt, write_subtitles

PARTS = [
    SpokenPart("[S1] Is 1 < 2 & true? [S2] Yes.", 0.05, 2.5, 0, None, 1),
    SpokenPart("[S2] Nothing is heard of this.", 2.5, 2.5, 1, None, 1),
    SpokenPart("[S1] Good.", 3661.0, 3662.9996, 2, None, 1),
]


def test_srt() -> None:
    assert to_srt(PARTS) == (
        "1\n00:00:00,050 --> 00:00:02,500\nS1: Is 1 < 2 & true?\nS2: Yes.\n\n"
        "2\n01:01:01,000 --> 01:01:03,000\nS1: Good.\n"
    )
    assert to_srt(PARTS[2:]).endswith("\nGood.\n"), "one speaker alone is not named"


def test_vtt() -> None:
    assert to_vtt(PARTS) == (
        "WEBVTT\n\n"
        "00:00:00.050 --> 00:00:02.500\n<v S1>Is 1 &lt; 2 &amp; true?\n<v S2>Yes.\n\n"
        "01:01:01.000 --> 01:01:03.000\n<v S1>Good.\n"
    )


def test_the_ending_decides(tmp_path: Path) -> None:
    for name, start in (("a.srt", "1\n"), ("a.VTT", "WEBVTT\n")):
        write_subtitles(tmp_path / name, PARTS)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    with pytest.raises(GenerationError, match=r"written as \.srt or \.vtt"):
        write_subtitles(tmp_path / "a.txt", PARTS)
    with pytest.raises(GenerationError, match="directory that is there"):
        write_subtitles(tmp_path / "no" / "a.srt", PARTS)
