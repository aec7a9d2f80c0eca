"""A long script is cut at turns and sentences, into parts of the right length, without loss."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoom.errors import GenerationError
from dialoom.generate.guard import expected_s
from dialoom.generate.parts import PartLimits, split_script
from dialoom.text import split_turns

SENTENCE = "This is a sentence of sixty bytes, it lasts for four seconds"
assert len(SENTENCE) == 60


def words(text: str) -> list[tuple[str, str]]:
    """Every word with its speaker."""
    return [(turn.speaker, word) for turn in split_turns(text) for word in turn.text.split()]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["[S1]", "[S2]", ""]),
            st.text("ab ,.!?;ä", min_size=1, max_size=120),
        ),
        max_size=12,
    ),
    st.sampled_from([PartLimits(), PartLimits(1, 2), PartLimits(0.5, 0.6)]),
)
def test_no_word_and_no_speaker_is_lost(turns: list[tuple[str, str]], limits: PartLimits) -> None:
    script = " ".join(" ".join(turn) for turn in turns)
    parts = split_script(script, limits)
    assert [word for part in parts for word in words(part)] == words(script)
    assert all(re.match(r"\[S\d\] \S", part) for part in parts)
    longest_word_s = max((len(word.encode()) / 15 for word in script.split()), default=0)
    slack_s = 0.2  # a space more where pieces are joined
    assert all(expected_s(part) <= max(limits.max_s, longest_word_s) + slack_s for part in parts)


def test_parts_of_speech_are_as_long_as_they_should_be() -> None:
    script = " ".join(f"[S{1 + i % 2}] {SENTENCE}. Why? {SENTENCE}." for i in range(20))
    parts = split_script(script)
    assert all(5 <= expected_s(part) <= 16 for part in parts)
    assert [part[:4] for part in parts] == ["[S1]", "[S2]"] * 10, "cut at turns"


def test_a_long_monologue_is_cut_at_sentences() -> None:
    parts = split_script(f"{SENTENCE}. " * 9)
    assert all(5 <= expected_s(part) <= 16 for part in parts)
    assert all(part.startswith("[S1] This") and part.endswith("seconds.") for part in parts)


def test_a_long_sentence_is_cut_at_clauses_and_a_long_clause_at_words() -> None:
    clause = "it goes on and on without an end in sight"
    parts = split_script(", ".join([clause] * 12) + ".")
    assert all(part.endswith((",", ".")) for part in parts)
    assert all(expected_s(part) <= 16.2 for part in split_script("on and " * 200))


def test_short_scripts_are_one_part() -> None:
    assert split_script("[S1] Hi. [S2] Hello. [S1] Bye.") == ["[S1] Hi. [S2] Hello. [S1] Bye."]
    assert split_script("  ") == []


def test_sentences_end_where_they_do() -> None:
    limits = PartLimits(0.1, 2.5)
    text = "Dr. A. Bell paid 3.50 pounds. “Really?” he asked… z. B. so! 你好。再见！"
    assert split_script(text, limits) == [
        "[S1] Dr. A. Bell paid 3.50 pounds.",
        "[S1] “Really?” he asked… z. B. so!",
        "[S1] 你好。",
        "[S1] 再见！",
    ]


@pytest.mark.parametrize("limits", [(0, 5, 15), (5, 5, 15), (1, 5, 0), (1, float("nan"), 15)])
def test_limits_that_cannot_be_are_refused(limits: tuple[float, float, float]) -> None:
    with pytest.raises(GenerationError):
        PartLimits(*limits)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("„Gut.“ Er ging. »Wirklich?« Ja.", ["„Gut.“", "Er ging.", "»Wirklich?«", "Ja."]),
        ("Am 12. Mai kam er. Das war 1990. Gut.", ["Am 12. Mai kam er.", "Das war 1990.", "Gut."]),
        ("3 Mio. Euro nach Abs. 2. Ja. Gut.", ["3 Mio. Euro nach Abs. 2. Ja.", "Gut."]),
        ("أنا؟ نعم۔ هل أنت بخير.", ["أنا؟", "نعم۔", "هل أنت بخير."]),
    ],
)  # fmt: skip
def test_sentences_of_other_languages_end_where_they_do(text: str, parts: list[str]) -> None:
    longest_s = max(len(part.encode()) for part in parts) / 15
    found = split_script(text, PartLimits(0.01, longest_s, 15))
    assert [part.removeprefix("[S1] ") for part in found] == parts


def test_a_book_is_cut_in_a_moment() -> None:
    """In a time that grows with its length, not with the square of it."""
    book = "Das ist ein Satz mit einigen Wörtern darin. " * 6_000
    started_s = time.process_time()
    parts = split_script(book)
    assert time.process_time() - started_s < 5, "it was 16 s"
    assert len(parts) > 1000
