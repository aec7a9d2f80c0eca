"""Scripts taken apart into turns, joined, and ended as Dia's makers advise."""

import pytest

from dialoom.text import Turn, add_ending_tag, join_scripts, split_turns, spoken_bytes


def test_turns() -> None:
    assert split_turns("So [S2] Hi!  You? [S1]\nYes. [S1] Good. [S2] ") == [
        Turn("[S1]", "So"),
        Turn("[S2]", "Hi! You?"),
        Turn("[S1]", "Yes. Good."),
    ]
    assert split_turns(" [S1] ") == split_turns("") == []
    assert str(Turn("[S2]", "Hi!")) == "[S2] Hi!"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("[S1] A. [S2] B.", "[S1] A. [S2] B. [S1]"),
        ("[S1] A. [S2] B. [S1] C.", "[S1] A. [S2] B. [S1] C. [S2]"),
        ("A.", "[S1] A. [S2]"),
        ("[S2] A.", "[S2] A. [S1]"),
        ("[S1] A. [S2] B. [S1]", "[S1] A. [S2] B. [S1]"),
        ("", ""),
    ],
)
def test_the_ending_tag_is_the_last_speakers_but_one(script: str, expected: str) -> None:
    assert add_ending_tag(script) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("[S1] A.", "[S2] B.", "[S1] A. [S2] B."),
        ("[S1] A.", "[S1] B. [S2] C.", "[S1] A. B. [S2] C."),
        ("[S2] A. [S1]", "[S1] B.", "[S2] A. [S1] B."),
        ("A.", "[S1] B.", "A. [S1] B."),
    ],
)
def test_a_speaker_who_goes_on_is_not_named_again(before: str, after: str, expected: str) -> None:
    assert join_scripts(before, after) == expected


def test_tags_are_not_spoken() -> None:
    assert spoken_bytes("[S1] Füße [S2] ja") == len("Füße ja".encode())
    assert spoken_bytes(" ") == 0
