"""Recordings without transcripts are cut at pauses and transcribed, once."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from fake_audio import FakeCodec, tone, write_tone
from fake_listener import LengthTranscriber, LoudnessDetector
from fake_source import read_files

from dialoom.data import (
    Corpus,
    Listener,
    PieceLimits,
    PrepareOptions,
    PrepareSummary,
    Rejection,
    SourceClip,
    prepare,
)
from dialoom.data.entries import Entry
from dialoom.data.listing import list_clips
from dialoom.errors import DataError

RATE_HZ = 22_050


def _write_long(path: Path, *lengths_and_pauses: float) -> Path:
    """speech, pause, speech, pause, speech …, in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        tone(length_s, sample_rate_hz=RATE_HZ, peak=0.0 if i % 2 else 0.5).samples
        for i, length_s in enumerate(lengths_and_pauses)
    ]
    soundfile.write(path, np.concatenate(parts), RATE_HZ)
    return path


def _listener(transcriber: LengthTranscriber | None = None) -> Listener:
    return Listener(transcriber or LengthTranscriber(), LoudnessDetector())


def _list(source: Path, out: Path, listener: Listener | None = None) -> list[Entry]:
    return list_clips(source, out, PrepareOptions(language="en"), listener=listener or _listener())


def _prepare(source: Path, out: Path, listener: Listener) -> PrepareSummary:
    options = PrepareOptions(language="en", valid_fraction=0.3)
    return prepare(source, out, options, codec=FakeCodec(), listener=listener)


def test_pieces_are_cut_at_pauses(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 8, 0.3, 6, 1.2, 7, 0.2, 9)
    entries = _list(tmp_path / "in", tmp_path / "out")
    assert [entry.source for entry in entries] == ["a.wav@0.000-14.500", "a.wav@15.300-31.700"]
    first, second = entries
    assert isinstance(first, SourceClip) and isinstance(second, SourceClip)
    assert (first.id, first.text) == ("a@0.000-14.500", "[S1] 14.5 seconds")
    assert (first.language, first.confidence) == ("en", 0.75)
    assert second.audio.load().num_samples == round(16.4 * RATE_HZ)


def test_edges_take_at_most_half_of_a_pause_and_keep_to_the_limit(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 19.9, 0.3, 10.0, 0.2, 9.9)
    entries = _list(tmp_path / "in", tmp_path / "out")
    assert [entry.source for entry in entries] == [
        "a.wav@0.000-19.950",
        "a.wav@20.050-30.300",
        "a.wav@30.300-40.300",
    ]


def test_what_cannot_be_a_piece_is_listed(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 25, 1, 5, 3, 1)
    _write_long(tmp_path / "in/b.wav", 0.1, 3)
    (tmp_path / "in/c.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "in/d.wav", np.full(16_000, 0.01, np.float32), 16_000)
    entries = _list(tmp_path / "in", tmp_path / "out")
    assert [(e.source, e.reason) for e in entries if isinstance(e, Rejection)] == [
        ("a.wav@0.000-25.000", "is speech of 25.0 s without a pause, more than 20 s"),
        ("a.wav@34.000-35.000", "is speech of 1.0 s that no piece of 3 to 20 s can hold"),
        ("b.wav@0.000-0.100", "is speech of 0.1 s that no piece of 3 to 20 s can hold"),
        ("c.wav", "not readable as audio (Format not recognised)"),
        ("d.wav", "nobody speaks in it"),
    ]
    assert [e.id for e in entries if isinstance(e, SourceClip)] == ["a@25.800-31.200"]


def test_transcribed_recordings_are_left_as_they_are(tmp_path: Path) -> None:
    write_tone(tmp_path / "in/a.wav", 1.0).with_suffix(".txt").write_text("told")
    listener = _listener()
    (clip,) = _list(tmp_path / "in", tmp_path / "out", listener)
    assert isinstance(clip, SourceClip)
    assert (clip.text, clip.confidence) == ("[S1] told", None)
    assert not (tmp_path / "out").exists(), "nothing was listened to"


def test_rows_with_times_are_cut_within_them(tmp_path: Path) -> None:
    _write_long(tmp_path / "a.wav", 8, 1, 8, 1, 8)
    rows = [{"audio": "a.wav", "start": 4, "end": 14}, {"audio": "a.wav", "text": "t", "end": 2}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, told = _list(tmp_path / "t.jsonl", tmp_path / "out")
    assert (first.source, told.source) == ("a.wav@4.000-14.000", "a.wav@0.000-2.000")


def test_without_a_detector_whole_recordings_are_transcribed(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 2)
    _write_long(tmp_path / "in/b.wav", 31)
    first, second = _list(tmp_path / "in", tmp_path / "out", Listener(LengthTranscriber()))
    assert isinstance(first, SourceClip) and isinstance(second, Rejection)
    assert (first.id, first.text) == ("a", "[S1] 2.0 seconds")
    assert second.reason == "lasts 31.0 s, the recogniser hears 30 s at once"


def test_the_corpus_keeps_confidence_and_the_times_of_words(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 8, 1, 15)
    _prepare(tmp_path / "in", tmp_path / "out", _listener())
    table = pq.read_table(tmp_path / "out/data-00000.parquet")
    assert table["confidence"].to_pylist() == [0.75, 0.75]
    lines = (tmp_path / "out/transcripts.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (first["id"], first["text"]) == ("a@0.000-8.200", "8.2 seconds")
    assert first["words"][1] == {"text": "seconds", "start_s": 0.5, "end_s": 1.0}


@pytest.mark.parametrize("stop_at", [0, 1, 2, 3])
def test_a_killed_run_goes_on_and_listens_to_nothing_twice(tmp_path: Path, stop_at: int) -> None:
    source = tmp_path / "in"
    _write_long(source / "a.wav", *[4, 2.5] * 11)
    _write_long(source / "b.wav", *[5, 2.5] * 9)
    whole = LengthTranscriber()
    _prepare(source, tmp_path / "whole", _listener(whole))
    assert [len(call) for call in whole.calls] == [8, 3, 8, 1]
    assert set(whole.languages) == {"en"}
    killed = LengthTranscriber(stop_at)
    with pytest.raises(KeyboardInterrupt):
        _prepare(source, tmp_path / "killed", _listener(killed))
    again = _listener()
    _prepare(source, tmp_path / "killed", again)
    assert isinstance(again.transcriber, LengthTranscriber)
    assert killed.calls + again.transcriber.calls == whole.calls
    assert isinstance(again.detector, LoudnessDetector)
    assert again.detector.num_found == (1 if stop_at < 2 else 0)
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")
    third = _listener()
    _prepare(source, tmp_path / "killed", third)
    assert isinstance(third.transcriber, LengthTranscriber)
    assert third.transcriber.calls == []
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


@pytest.mark.parametrize("lost", [1, 300, 900])
def test_a_line_that_was_being_written_is_written_again(tmp_path: Path, lost: int) -> None:
    source = tmp_path / "in"
    _write_long(source / "a.wav", *[4, 2.5] * 11)
    _prepare(source, tmp_path / "out", _listener())
    before = read_files(tmp_path / "out")
    for name in ("speech.jsonl", "transcripts.jsonl"):
        (tmp_path / "out" / name).write_bytes(before[name][: max(0, len(before[name]) - lost)])
    _prepare(source, tmp_path / "out", _listener())
    assert read_files(tmp_path / "out") == before


def test_another_recording_is_listened_to_anew(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 8)
    _list(tmp_path / "in", tmp_path / "out")
    _write_long(tmp_path / "in/a.wav", 9)
    (clip,) = _list(tmp_path / "in", tmp_path / "out")
    assert isinstance(clip, SourceClip)
    assert clip.text == "[S1] 9.0 seconds"


def test_recordings_of_one_name_size_and_time_are_told_apart(tmp_path: Path) -> None:
    """As archives unpack them: "1.wav" in the directory of each speaker, of one length and date."""
    for path in (
        _write_long(tmp_path / "in/a/1.wav", 8),
        _write_long(tmp_path / "in/b/1.wav", 3, 2, 3),
    ):
        os.utime(path, (0, 0))
    entries = _list(tmp_path / "in", tmp_path / "out")
    assert [entry.source for entry in entries] == [
        "a/1.wav@0.000-8.000",
        "b/1.wav@0.000-8.000",
    ]
    said = [json.loads(line) for line in (tmp_path / "out/speech.jsonl").read_text().splitlines()]
    assert [record["speech_s"] for record in said] == [[[0.0, 8.0]], [[0.0, 3.0], [5.0, 8.0]]]


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/speech.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"speech\.jsonl: damaged \(KeyError\); remove it"):
        _list(tmp_path / "in", tmp_path / "out")


def test_pieces_without_a_recogniser_are_refused(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 8)
    options = PrepareOptions(split_long=PieceLimits(3, 20))
    with pytest.raises(
        DataError, match=r"1 recordings have no transcript.*dialoom\[asr\]"
    ) as caught:
        prepare(tmp_path / "in", tmp_path / "out", options, codec=FakeCodec())
    assert "\n" not in str(caught.value)
    options = PrepareOptions(split_long=PieceLimits(3, 31), asr_model="x")
    with pytest.raises(DataError, match="--max-seconds 31: the recogniser hears 30 s at once"):
        prepare(tmp_path / "in", tmp_path / "out", options, codec=FakeCodec())


def test_nobody_listening_is_a_rejection_that_names_the_extra(tmp_path: Path) -> None:
    _write_long(tmp_path / "in/a.wav", 2)
    write_tone(tmp_path / "in/b.wav").with_suffix(".txt").write_text("told")
    summary = prepare(tmp_path / "in", tmp_path / "out", codec=FakeCodec())
    (rejection,) = summary.rejections
    assert rejection.reason == "has no transcript"
    assert "--asr-model" in rejection.remedy and "extra asr" in rejection.remedy
    assert len(Corpus.open(tmp_path / "out")) == 1
