"""Turns become clips of dialogue that are never cut inside a turn."""

import json
from pathlib import Path

import pytest
from fake_audio import FakeCodec, write_tone
from fake_source import read_files

from dialoom.audio import Segment
from dialoom.data import Corpus, PrepareOptions, Rejection, SourceClip, prepare
from dialoom.data.cutting import PieceLimits
from dialoom.data.dialogue import DIALOGUE_LIMITS
from dialoom.data.entries import Entry
from dialoom.data.listing import list_clips
from dialoom.errors import DataError

Row = tuple[str | None, float, float, str]


def _write(folder: Path, rows: list[Row], name: str = "talk") -> Path:
    """A conversation in the columns recording, speaker, start, end, text."""
    last_s = max((end for _, _, end, _ in rows), default=1.0)
    write_tone(folder / f"{name}.wav", last_s + 1)
    with (folder / "metadata.jsonl").open("a") as file:
        for speaker, start, end, text in rows:
            record = {"recording": f"{name}.wav", "speaker": speaker, "start": start, "end": end}
            file.write(json.dumps({**record, "text": text}) + "\n")
    return folder


def _list(source: Path, limits: PieceLimits = DIALOGUE_LIMITS) -> list[Entry]:
    return list_clips(source, source / "unused", PrepareOptions(dialogue=limits))


def _texts(entries: list[Entry]) -> list[str]:
    return [entry.text for entry in entries if isinstance(entry, SourceClip)]


def _reasons(entries: list[Entry]) -> list[str]:
    return [entry.reason for entry in entries if isinstance(entry, Rejection)]


def test_turns_alternate_under_tags_in_order_of_appearance(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("Zoe", 0.5, 2.0, "Hello."),
        ("Adam", 2.2, 4.0, "Hi,"),
        ("Adam", 4.1, 5.0, "how are you?"),
        ("Zoe", 5.5, 7.0, "Fine (laughs)."),
    ]
    (clip,) = _list(_write(tmp_path, rows))
    assert isinstance(clip, SourceClip)
    assert clip.text == "[S1] Hello. [S2] Hi, how are you? [S1] Fine (laughs)."
    assert clip.audio.segment == Segment(0.5, 7.0)
    assert (clip.id, clip.source) == ("talk@0.500-7.000", "talk.wav@0.500-7.000")
    assert clip.speaker == "Zoe + Adam"


def test_clips_keep_to_the_limits_and_no_turn_is_lost(tmp_path: Path) -> None:
    rows: list[Row] = [("AB"[i % 2], 3.0 * i, 3.0 * i + 2.5, f"turn {i}.") for i in range(20)]
    entries = _list(_write(tmp_path, rows))
    assert _reasons(entries) == []
    segments = [entry.audio.segment for entry in entries if isinstance(entry, SourceClip)]
    lengths = [s.end_s - s.start_s for s in segments if s and s.end_s]
    assert all(5 <= length <= 20 for length in lengths)
    assert "".join(_texts(entries)).count("turn") == 20
    assert all(text.startswith("[S1] ") for text in _texts(entries))


def test_a_long_silence_closes_a_clip(tmp_path: Path) -> None:
    rows: list[Row] = [("A", 0, 6, "one"), ("B", 8.0, 10, "two"), ("A", 12.1, 18, "three")]
    assert _texts(_list(_write(tmp_path, rows))) == ["[S1] one [S2] two", "[S1] three"]


def test_a_third_speaker_begins_a_new_clip(tmp_path: Path) -> None:
    rows: list[Row] = [("A", 0, 3, "a"), ("B", 3, 6, "b"), ("C", 6, 9, "c"), ("B", 9, 12, "d")]
    assert _texts(_list(_write(tmp_path, rows))) == ["[S1] a [S2] b", "[S1] c [S2] d"]


def test_a_turn_longer_than_a_clip_is_listed(tmp_path: Path) -> None:
    rows: list[Row] = [("A", 0, 6, "one"), ("B", 6, 26.5, "on and on"), ("A", 27, 33, "two")]
    entries = _list(_write(tmp_path, rows))
    assert _texts(entries) == ["[S1] one", "[S1] two"]
    assert _reasons(entries) == ["is one turn of 20.5 s, a clip holds 20 s"]


def test_overlapping_turns_are_both_listed_and_close_the_clip(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("A", 0, 6, "one"),
        ("B", 6, 9, "two"),
        ("A", 8.5, 9.5, "three"),
        ("B", 9.5, 15, "four"),
        ("A", 14.96, 16, "within the tolerance"),
    ]
    entries = _list(_write(tmp_path, rows))
    assert _texts(entries) == ["[S1] one", "[S1] four [S2] within the tolerance"]
    assert _reasons(entries) == [
        "overlaps another turn (A, 8.500-9.500 s)",
        "overlaps another turn (B, 6.000-9.000 s)",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, 6.2, 6.8, "who?"), "names no speaker"),
        (("B", 6.2, 6.8, ""), "has no transcript"),
        (("B", 6.2, 6.8, "[S1] No. [S2] Yes."), "is one turn and holds the tag [S2]"),
        (("B", 6.8, 6.2, "backwards"), "ends at 6.2 s and starts at 6.8 s"),
    ],
)
def test_the_sound_of_a_refused_turn_is_in_no_clip(tmp_path: Path, row: Row, reason: str) -> None:
    rows: list[Row] = [("A", 0, 6, "one"), row, ("A", 7, 13, "two")]
    entries = _list(_write(tmp_path, rows))
    assert _reasons(entries) == [reason]
    assert _texts(entries) == ["[S1] one", "[S1] two"], "not joined across it"


def test_a_turn_too_short_for_a_clip_of_its_own_is_listed(tmp_path: Path) -> None:
    rows: list[Row] = [("A", 0, 6, "one"), ("B", 30, 32, "lonely")]
    entries = _list(_write(tmp_path, rows))
    assert _reasons(entries)[0].startswith("is a turn of 2.0 s that no clip of 5 to 20 s can hold")
    assert len(_texts(_list(tmp_path, PieceLimits(1.0, 20.0)))) == 2


def test_turns_need_times_and_need_not_be_in_order(tmp_path: Path) -> None:
    record = {"recording": "talk.wav", "speaker": "A", "text": "whole"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(record) + "\n")
    rows: list[Row] = [("B", 3, 6, "b"), ("A", 0, 3, "a")]
    entries = _list(_write(tmp_path, rows))
    assert _texts(entries) == ["[S1] a [S2] b"]
    reason = "does not say when it starts and ends, as a turn of a dialogue must"
    assert _reasons(entries) == [reason]


def test_recordings_are_not_mixed(tmp_path: Path) -> None:
    _write(tmp_path, [("A", 0, 6, "one")], "first")
    _write(tmp_path, [("B", 6, 12, "two")], "second")
    assert _texts(_list(tmp_path)) == ["[S1] one", "[S1] two"]


def test_a_dialogue_is_prepared_and_again_changes_nothing(tmp_path: Path) -> None:
    rows: list[Row] = [("AB"[i % 2], 2.0 * i, 2.0 * i + 1.5, "well (laughs)") for i in range(12)]
    source = _write(tmp_path / "source", [*rows, ("A", 40, 61, "endless")])
    options = PrepareOptions(dialogue=DIALOGUE_LIMITS, language="en")
    summary = prepare(source, tmp_path / "out", options, codec=FakeCodec())
    before = read_files(tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")
    assert sum(corpus[i].text.count("well") for i in range(len(corpus))) == 12
    assert all("[S2]" in corpus[i].text for i in range(len(corpus)))
    assert (len(summary.rejections), summary.nonverbals.num_known) == (1, 12)
    codec = FakeCodec()
    prepare(source, tmp_path / "out", options, codec=codec)
    assert codec.num_encoded == 0
    assert read_files(tmp_path / "out") == before


def test_turns_are_not_listened_to() -> None:
    with pytest.raises(DataError, match="--dialogue joins turns that have transcripts"):
        PrepareOptions(dialogue=DIALOGUE_LIMITS, asr_model="x")
