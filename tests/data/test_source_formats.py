"""Each layout that people have data in, made as its own tools make it, becomes clips."""

import json
from pathlib import Path

import pytest
from fake_audio import FakeCodec, write_tone
from fake_source import read_files

from dialoom.audio import Segment
from dialoom.data import (
    Columns,
    Corpus,
    PrepareOptions,
    Rejection,
    SourceClip,
    open_source,
    prepare,
)
from dialoom.errors import DataError


def _clips(path: Path, columns: str = "") -> list[SourceClip]:
    entries = open_source(path, columns=Columns.parse(columns))
    assert all(isinstance(entry, SourceClip) for entry in entries), entries
    return entries  # type: ignore[return-value]


def _rejections(path: Path) -> dict[str, str]:
    entries = open_source(path)
    return {entry.source: entry.reason for entry in entries if isinstance(entry, Rejection)}


def _write_lines(path: Path, records: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_jsonl_of_the_hubs_audio_folder(tmp_path: Path) -> None:
    write_tone(tmp_path / "train/a.wav")
    record = {"file_name": "train/a.wav", "Transcription": "Hi.", "lang": "de", "speaker_id": 7}
    _write_lines(tmp_path / "metadata.jsonl", [record])
    (clip,) = _clips(tmp_path)
    assert (clip.id, clip.text, clip.source) == ("train/a", "[S1] Hi.", "train/a.wav")
    assert (clip.language, clip.speaker) == ("de", "7")


def test_a_manifest_of_nemo_cuts_by_offset_and_duration(tmp_path: Path) -> None:
    audio = str(write_tone(tmp_path / "a.wav", 3.0))
    whole = {"audio_filepath": audio, "text": "all", "duration": 3.0}
    part = {"audio_filepath": "a.wav", "text": "part", "offset": 0.5, "duration": 1.25}
    manifest = _write_lines(tmp_path / "train_manifest.json", [whole, part])
    first, second = _clips(manifest)
    assert first.audio.segment is None, "a duration alone is the file's"
    assert second.audio.segment == Segment(0.5, 1.75)
    assert second.id == "a@0.500-1.750"
    assert second.audio.load().num_samples == 20_000


def test_records_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    path = tmp_path / "m.jsonl"
    lines = [
        '{"audio": "a.wav", "text": "good"}',
        '{"audio": "a.wav", "text": ',
        '"a.wav"',
        '{"audio": "a.wav"}',
        '{"text": "no audio"}',
        '{"audio": "gone.wav", "text": "gone"}',
        r'{"audio": "a.wav", "text": "\ud800"}',
        '{"audio": "a.wav", "text": "t", "start": 2, "end": 1}',
        '{"audio": "a.wav", "text": "t", "start": "soon"}',
        '{"audio": "a.wav", "text": "t", "end": -1}',
        '{"audio": "a.wav", "text": ["t"]}',
        "[" * 100_000,
    ]
    path.write_text("\n".join(lines))
    reasons = _rejections(path)
    assert len(reasons) == 11
    assert reasons["m.jsonl:2"].startswith("is no JSON (Expecting value")
    assert reasons["m.jsonl:3"] == "is no JSON object"
    assert reasons["m.jsonl:4"] == reasons["m.jsonl:11"] == "has no transcript"
    assert reasons["m.jsonl:5"] == "names no audio file"
    assert reasons["m.jsonl:6"].startswith("no such file")
    assert "surrogate" in reasons["m.jsonl:7"]
    assert reasons["m.jsonl:8"] == "ends at 1 s and starts at 2 s"
    assert reasons["m.jsonl:9"] == "start 'soon' is no time in seconds"
    assert reasons["m.jsonl:10"] == "end '-1' is no time in seconds"


def test_one_json_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('[{"audio": "a.wav"}]')
    with pytest.raises(DataError, match="is one JSON array; write one object a line"):
        open_source(tmp_path / "m.json")


def _write_common_voice(tmp_path: Path) -> Path:
    root = tmp_path / "cv-corpus/de"
    write_tone(root / "clips/common_voice_de_1.mp3", 0.5)
    columns = "client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tgender\tlocale\tsegment"
    row = 'c0ffee\tcommon_voice_de_1.mp3\t9\tSie sagte: "Nein"\t2\t\t\tde\t'
    gone = row.replace("_1.", "_2.")
    (root / "validated.tsv").write_text(f"{columns}\n{row}\n{gone}\n")
    (root / "other.tsv").write_text(f"{columns}\n{row}\n")
    return root


def test_common_voice(tmp_path: Path) -> None:
    root = _write_common_voice(tmp_path)
    clip, rejection = open_source(root)
    assert isinstance(clip, SourceClip)
    assert (clip.id, clip.text) == ("clips/common_voice_de_1", '[S1] Sie sagte: "Nein"')
    assert (clip.language, clip.speaker) == ("de", "c0ffee")
    assert isinstance(rejection, Rejection)
    assert rejection.source == "validated.tsv:3"
    assert open_source(root / "other.tsv") == [clip]
    with pytest.raises(DataError, match="Common Voice needs validated"):
        open_source(tmp_path, format="commonvoice")


def test_json_beside_recordings(tmp_path: Path) -> None:
    record = {
        "text": "Hi.",
        "language": "en",
        "speaker": "Ann",
        "wav": "x.wav",
        "start": 9,
        "end": 8,
    }
    write_tone(tmp_path / "b/a.wav").with_suffix(".json").write_text(json.dumps(record))
    write_tone(tmp_path / "b/b.wav").with_suffix(".json").write_text("{")
    record["end"] = 10
    (tmp_path / "b/a.json").write_text(json.dumps(record))
    clip, rejection = open_source(tmp_path)
    assert isinstance(clip, SourceClip)
    assert (clip.id, clip.text, clip.language, clip.speaker) == ("b/a", "[S1] Hi.", "en", "Ann")
    assert clip.audio.segment is None, "its times are those in the recording it was cut from"
    assert isinstance(rejection, Rejection)
    assert rejection.source == "b/b.wav"


def test_columns_are_mapped(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    table = tmp_path / "t.csv"
    table.write_text("audio,text,Said,Voice\na.wav,y,Hello,Ann\n,,,\n")
    (clip,) = [
        entry
        for entry in open_source(table, columns=Columns.parse("text=said, speaker=VOICE"))
        if isinstance(entry, SourceClip)
    ]
    assert (clip.text, clip.speaker) == ("[S1] Hello", "Ann")
    with pytest.raises(DataError, match=r"columns audio, text, said, voice; .* one of words"):
        open_source(table, columns=Columns.parse("text=words"))
    for wrong in ("words=text", "text", "text="):
        with pytest.raises(DataError, match="write FIELD=COLUMN, where FIELD is one of audio"):
            Columns.parse(wrong)


def test_start_and_end_cut_segments_and_bad_ones_are_listed(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 2.0)
    table = tmp_path / "t.csv"
    rows = ["a.wav,one,0,0.5", "a.wav,two,0.5,", "a.wav,three,1.9,2.1", "a.wav,all,,"]
    table.write_text("\n".join(["audio,text,start,end", *rows]))
    for _ in range(2):
        summary = prepare(table, tmp_path / "out", codec=FakeCodec())
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.lengths.tolist() == [25, 75, 100]
    (rejection,) = summary.rejections
    assert rejection.source == "a.wav@1.900-2.100"
    assert rejection.reason == "segment 1.900-2.100 s lies outside the recording of 2.000 s"
    assert summary.num_reused == 4


def test_other_times_are_another_clip(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 2.0)
    table = tmp_path / "t.csv"
    for end in ("1.0", "1.5"):
        table.write_text(f"id,audio,text,start,end\nx,a.wav,one,0,{end}\n")
        assert prepare(table, tmp_path / "out", codec=FakeCodec()).num_reused == 0
    assert Corpus.open(tmp_path / "out").lengths.tolist() == [75]


def test_columns_are_an_option_of_preparing(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("audio,said\na.wav,hello\n")
    options = PrepareOptions(columns=Columns.parse("text=said"))
    prepare(tmp_path / "t.csv", tmp_path / "out", options, codec=FakeCodec())
    assert Corpus.open(tmp_path / "out")[0].text == "[S1] hello"
    assert read_files(tmp_path / "out")
