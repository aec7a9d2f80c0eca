"""Each kind of source is found, read in a stable order, and what is wrong in it is listed."""

import os
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from fake_audio import write_tone

from dialoom.data import Rejection, SourceClip, open_source
from dialoom.errors import DataError


def _clips(path: Path, format: str = "auto") -> list[SourceClip]:
    entries = open_source(path, format=format)
    assert all(isinstance(entry, SourceClip) for entry in entries), entries
    return entries  # type: ignore[return-value]


def _rejection(path: Path) -> Rejection:
    (rejection,) = [entry for entry in open_source(path) if isinstance(entry, Rejection)]
    return rejection


def test_ljspeech(tmp_path: Path) -> None:
    write_tone(tmp_path / "wavs/LJ-1.wav")
    write_tone(tmp_path / "wavs/LJ-2.flac")
    write_tone(tmp_path / "wavs/LJ-3.ogg")
    (tmp_path / "metadata.csv").write_text(
        'LJ-1|Dr. "A", 3|Doctor "A", three\nLJ-2|  same\u2028text |\n\nLJ-3|only one\n'
    )
    clips = _clips(tmp_path)
    assert [clip.id for clip in clips] == ["LJ-1", "LJ-2", "LJ-3"]
    assert clips[0].text == '[S1] Doctor "A", three', "the normalised text is preferred"
    assert clips[1].text == "[S1] same text"
    assert clips[2].text == "[S1] only one"
    assert clips[1].audio.path == tmp_path / "wavs/LJ-2.flac"
    assert clips[1].source == "wavs/LJ-2.flac"


def test_a_relative_path_finds_its_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tone(tmp_path / "lj/wavs/a.wav")
    (tmp_path / "lj/metadata.csv").write_text("a|text\n")
    write_tone(tmp_path / "folder/a.wav").with_suffix(".txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    assert len(_clips(Path("lj"))) == len(_clips(Path("folder"))) == 1


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_is_found_in_the_other_spelling_of_unicode(
    tmp_path: Path, on_disk: str, in_table: str
) -> None:
    """A Mac's ä is two characters in names of files and one in the table, and looks the same."""
    write_tone(tmp_path / unicodedata.normalize(on_disk, "März/Sätze.wav"))
    name = unicodedata.normalize(in_table, "März/Sätze.wav")
    (tmp_path / "metadata.csv").write_text(f"audio,text\n{name},Hallo.\n", encoding="utf-8")
    (clip,) = _clips(tmp_path)
    assert clip.audio.path.is_file()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_table_with_header(tmp_path: Path, delimiter: str) -> None:
    write_tone(tmp_path / "clips/a.wav")
    write_tone(tmp_path / "clips/b.wav")
    rows = [
        ["language", "Sentence", "path", "speaker"],
        ["de", "Guten Tag.", "clips/a.wav", "Anna"],
        ["", "[S2] Hallo!", "clips/b.wav", ""],
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    first, second = _clips(table)
    assert (first.id, first.text) == ("clips/a", "[S1] Guten Tag.")
    assert (first.language, first.speaker) == ("de", "Anna")
    assert (second.text, second.language, second.speaker) == ("[S2] Hallo!", None, None)


def test_quotes_quote_in_csv_and_are_text_in_tsv(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text('audio,text\na.wav,"one, ""two"""\n')
    (tmp_path / "t.tsv").write_text('audio\ttext\na.wav\t"one" two\n')
    assert _clips(tmp_path / "t.csv")[0].text == '[S1] one, "two"'
    assert _clips(tmp_path / "t.tsv")[0].text == '[S1] "one" two'


def test_a_text_with_the_delimiter_is_not_cut(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("audio,text\na.wav,one, two\n")
    rejection = _rejection(tmp_path / "t.csv")
    assert rejection.source == "t.csv:2"
    assert rejection.reason == "has 3 fields under 2 columns"
    assert "quote" in rejection.remedy


def test_lines_of_wav_and_text(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "list.txt").write_text("a.wav|first, with comma\n")
    (clip,) = _clips(tmp_path / "list.txt")
    assert (clip.id, clip.text) == ("a", "[S1] first, with comma")


def test_an_id_column_names_the_clips(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text("id,file_name,transcription\nx7,a.wav,text\n")
    assert _clips(tmp_path)[0].id == "x7"


def test_folder(tmp_path: Path) -> None:
    write_tone(tmp_path / "b/two.flac").with_suffix(".lab").write_text("second")
    write_tone(tmp_path / "a.wav").with_suffix(".txt").write_text("first\n")
    clips = _clips(tmp_path)
    assert [(clip.id, clip.text) for clip in clips] == [
        ("a", "[S1] first"),
        ("b/two", "[S1] second"),
    ]


def test_recordings_behind_links_are_found_once(tmp_path: Path) -> None:
    """A speaker whose recordings lie on another disk; links in a circle are no new recordings."""
    write_tone(tmp_path / "disk/anna/1.wav").with_suffix(".txt").write_text("linked")
    write_tone(tmp_path / "in/bert/2.wav").with_suffix(".txt").write_text("in place")
    for name, target in (
        ("anna", tmp_path / "disk/anna"),
        ("anna-again", tmp_path / "disk/anna"),
        ("circle", tmp_path / "in"),
        ("above", tmp_path),
        ("bert-again", tmp_path / "in/bert"),
    ):
        (tmp_path / "in" / name).symlink_to(target)
    (tmp_path / "disk/anna/back").symlink_to(tmp_path / "disk")
    clips = _clips(tmp_path / "in")
    assert sorted(clip.text for clip in clips) == ["[S1] in place", "[S1] linked"]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_in_file_names_may_be_written_otherwise(
    tmp_path: Path, on_disk: Literal["NFC", "NFD"], in_table: Literal["NFC", "NFD"]
) -> None:
    """A table from Windows, the recordings from a Mac."""
    name, listed = unicodedata.normalize(on_disk, "Grüße"), unicodedata.normalize(in_table, "Grüße")
    write_tone(tmp_path / f"lj/wavs/{name}.flac")
    (tmp_path / "lj/metadata.csv").write_text(f"{listed}|text\n")
    write_tone(tmp_path / f"csv/{name}.wav")
    (tmp_path / "csv/metadata.csv").write_text(f"audio,text\n{listed}.wav,text\n")
    write_tone(tmp_path / f"folder/{name}.wav")
    (tmp_path / f"folder/{listed}.txt").write_text("text")
    for source in ("lj", "csv", "folder"):
        (clip,) = _clips(tmp_path / source)
        assert clip.audio.path.is_file()
        assert clip.text == "[S1] text"


def test_missing_transcripts_are_listed(tmp_path: Path) -> None:
    write_tone(tmp_path / "f/a.wav").with_suffix(".txt").write_text("text")
    write_tone(tmp_path / "f/b.wav")
    rejection = _rejection(tmp_path / "f")
    assert (rejection.source, rejection.reason) == ("b.wav", "has no transcript")
    assert (
        rejection.remedy
        == "put b.txt, b.lab or b.json beside it, or let --asr-model transcribe it (extra asr)"
    )
    for text, table in [("a.wav|\n", "l.txt"), ("audio,text\na.wav,\n", "m.csv")]:
        (tmp_path / "f" / table).write_text(text)
        assert _rejection(tmp_path / "f" / table).reason == "has no transcript"
    write_tone(tmp_path / "lj/wavs/a.wav")
    (tmp_path / "lj/metadata.csv").write_text("a| |\n")
    assert _rejection(tmp_path / "lj").source == "metadata.csv:1"


def test_missing_audio_is_listed(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "metadata.csv").write_text("gone|text\n")
    assert "no such file" in _rejection(tmp_path).reason
    (tmp_path / "t.csv").write_text("audio,text\n,text\n")
    assert _rejection(tmp_path / "t.csv").reason == "names no audio file"


def test_transcripts_that_are_not_utf8_are_listed(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav").with_suffix(".txt").write_bytes(b"caf\xe9")
    assert "not UTF-8 (byte 3)" in _rejection(tmp_path).reason


@pytest.mark.parametrize("name", ["said " * 60, "nul\0byte", "a/" * 3000])
def test_a_transcript_in_the_column_of_the_paths_is_listed(tmp_path: Path, name: str) -> None:
    write_tone(tmp_path / "a.wav")
    (tmp_path / "t.tsv").write_text(f"audio\ttext\n{name}\ttext\na.wav\ttext\n")
    assert _rejection(tmp_path / "t.tsv").reason.startswith("no such file: ")
    assert len(open_source(tmp_path / "t.tsv")) == 2
    write_tone(tmp_path / "lj/wavs/a.wav")
    (tmp_path / "lj/metadata.csv").write_text(f"{name}|text\na|text\n")
    assert _rejection(tmp_path / "lj").reason.startswith("no such file: ")


def test_transcripts_that_cannot_be_read_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tone(tmp_path / "a.wav").with_suffix(".txt").write_text("text")
    write_tone(tmp_path / "b.wav").with_suffix(".txt").write_text("text")
    original = Path.read_text

    def refuse(self: Path, *arguments: str, **options: str) -> str:
        if self.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "a.txt: cannot be read (Permission denied)" in _rejection(tmp_path).reason
    assert len(open_source(tmp_path)) == 2


def test_file_names_may_hold_any_bytes(tmp_path: Path) -> None:
    audio = write_tone(tmp_path / "a.wav")
    audio = audio.rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    audio.with_suffix(".txt").write_text("text")
    (clip,) = _clips(tmp_path)
    assert clip.id == r"caf\xe9"
    assert clip.audio.path.is_file()


def test_an_id_belongs_to_one_clip(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav").with_suffix(".txt").write_text("text")
    write_tone(tmp_path / "a.flac")
    rejection = _rejection(tmp_path)
    assert (rejection.source, rejection.reason) == ("a.wav", "has the id 'a', as a.flac has")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone", None, "no such file or directory"),
        ("notes.md", "text", r"not a \.csv, \.tsv, \.txt, .* file; name one or a directory"),
        ("t.csv", "", "the table is empty"),
        ("t.csv", "name,words\na,b\n", "has the columns name, words; name one of audio"),
        ("t.csv", "Datei;Text\na;b\n", "or say which is which: --columns audio=NAME,text=NAME"),
        ("t.txt", "a|b|c\n", "has the columns a, b, c"),
        ("t.csv", 'audio,text\na.wav,"open\n', "line 2: .*mend the quotes"),
        ("t.csv", "audio,text\n", "no entries"),
    ],
)
def test_refuses_what_it_does_not_understand(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither metadata\.csv with wavs/ .* nor .*\.wav.* files"):
        open_source(tmp_path)
    with pytest.raises(DataError, match=r"LJSpeech needs metadata\.csv and the folder wavs/"):
        open_source(tmp_path, format="ljspeech")
    with pytest.raises(
        DataError, match="'parquet' is unknown; choose auto, ljspeech, csv, jsonl, folder"
    ):
        open_source(tmp_path, format="parquet")


def test_tables_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"audio,text\na.wav,caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        open_source(tmp_path / "t.csv")
