"""Parquet files and saved datasets become clips; the audio is read a few rows at a time."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from fake_audio import FakeCodec, tone, write_tone
from fake_source import prepare_fake, read_files

from dialoom.audio import AudioFileError
from dialoom.data import Columns, Corpus, SourceClip, open_source, table_rows
from dialoom.data.table_rows import CellReader
from dialoom.errors import DataError

AUDIO_TYPE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def _flac(duration_s: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(duration_s).samples, 16_000, format="FLAC")
    return file.getvalue()


def _table(number: int, first: int = 0, **columns: list[object]) -> pa.Table:
    """As `Dataset.to_parquet` writes a column of the type Audio."""
    audio = [
        {"bytes": _flac(0.2 + 0.02 * (i % 5)), "path": f"{i}.flac"}
        for i in range(first, first + number)
    ]
    texts = [f"text {i}" for i in range(first, first + number)]
    return pa.table({"audio": pa.array(audio, AUDIO_TYPE), "sentence": texts, **columns})


def _clips(path: Path, format: str = "auto") -> list[SourceClip]:
    entries = open_source(path, format=format)
    assert all(isinstance(entry, SourceClip) for entry in entries), entries
    return entries  # type: ignore[return-value]


def _write(path: Path, table: pa.Table, rows_per_group: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def test_parquet_of_the_hub(tmp_path: Path) -> None:
    for part in range(2):
        table = _table(3, 3 * part, Locale=["de"] * 3, speaker_id=[7, 8, None])
        _write(tmp_path / f"data/train-0000{part}-of-00002.parquet", table)
    clips = _clips(tmp_path)
    assert [clip.text for clip in clips] == [f"[S1] text {i}" for i in range(6)]
    assert clips[4].id == "data/train-00001-of-00002/1"
    assert clips[4].source == "data/train-00001-of-00002.parquet:1"
    assert [clip.speaker for clip in clips[:3]] == ["7", "8", None]
    assert clips[0].language == "de"
    for i in (5, 0, 3, 1):
        assert clips[i].audio.load().num_samples == round(16_000 * (0.2 + 0.02 * (i % 5)))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_it_prepares_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("dialoom.data.preparation.CLIPS_PER_SHARD", 30)
    if suffix == ".parquet":
        source = _write(tmp_path / "source/a.parquet", _table(130), rows_per_group=50)
    else:
        source = _save_to_disk(tmp_path / "a", _table(130)) / "data-00000-of-00001.arrow"

    class Killed(FakeCodec):
        def encode(self, waveform):  # type: ignore[no-untyped-def]
            if self.num_encoded == 70:
                raise KeyboardInterrupt
            return super().encode(waveform)

    prepare_fake(source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare_fake(source, tmp_path / "out", Killed())
    codec = FakeCodec()
    prepare_fake(source, tmp_path / "out", codec)
    assert codec.num_encoded == 60
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")
    assert prepare_fake(source, tmp_path / "out").num_reused == 130
    frames = Corpus.open(tmp_path / "out").lengths
    assert frames.tolist() == [10 + i % 5 for i in range(130)]


def test_rows_are_read_a_few_at_a_time_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "a.parquet", pa.table({"audio": [b"%d" % i for i in range(1000)]}))
    opened: list[int] = []
    original = table_rows.read_batches

    def counted(*arguments, from_row: int):  # type: ignore[no-untyped-def]
        opened.append(from_row)
        return original(*arguments, from_row=from_row)

    monkeypatch.setattr(table_rows, "read_batches", counted)
    reader = CellReader()
    order = np.arange(1000) ^ 5
    assert [reader.read(path, "audio", int(i)) for i in order] == [b"%d" % i for i in order]
    assert len(opened) <= 2
    for i in (999, 0, 500, 499, 501):
        assert reader.read(path, "audio", i) == b"%d" % i
    with pytest.raises(EOFError):
        reader.read(path, "audio", 1000)
    assert reader.read(path, "audio", 7) == b"7"


def _save_to_disk(path: Path, table: pa.Table) -> Path:
    """As `Dataset.save_to_disk` lays it out: an Arrow stream beside two JSON files."""
    path.mkdir(parents=True)
    with pa.ipc.new_stream(str(path / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table, max_chunksize=40)
    (path / "dataset_info.json").write_text("{}")
    (path / "state.json").write_text("{}")
    (path / "cache-12ab.arrow").write_bytes(b"left by map()")
    return path


def test_a_saved_dataset_of_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _save_to_disk(tmp_path / split, _table(2))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    clips = _clips(tmp_path)
    assert [clip.id for clip in clips] == [
        f"{split}/data-00000-of-00001/{row}" for split in ("test", "train") for row in (0, 1)
    ]
    assert clips[2].audio.load().num_samples == 3200


@pytest.mark.parametrize("column", ["struct", "string", "bytes"])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_other_ways_to_hold_the_audio(tmp_path: Path, column: str, suffix: str) -> None:
    write_tone(tmp_path / "d/clips/a.wav", 0.5)
    audio = {
        "struct": pa.array([{"bytes": None, "path": "clips/a.wav"}], AUDIO_TYPE),
        "string": pa.array(["clips/a.wav"]),
        "bytes": pa.array([(tmp_path / "d/clips/a.wav").read_bytes()]),
    }[column]
    table = pa.table({"Audio": audio, "text": ["hello"]})
    if suffix == ".parquet":
        _write(tmp_path / "d/a.parquet", table)
    else:
        with pa.ipc.new_stream(str(tmp_path / "d/a.arrow"), table.schema) as stream:
            stream.write_table(table)
    (clip,) = _clips(tmp_path / "d")
    assert clip.audio.load().num_samples == 8000
    assert clip.id == ("a/0" if column == "bytes" else "clips/a")


def test_what_is_wrong_is_listed(tmp_path: Path) -> None:
    table = _table(4)
    audio = table["audio"].to_pylist()
    audio[1]["bytes"], audio[2]["bytes"] = None, b"no audio"
    texts = ["good", "none", "noise", None]
    table = pa.table({"audio": pa.array(audio, AUDIO_TYPE), "text": texts})
    _write(tmp_path / "s/a.parquet", table)
    (tmp_path / "s/b.parquet").write_bytes(b"PAR1 no more")
    _write(tmp_path / "s/c.parquet", pa.table({"audio": [b""], "words": ["x"]}))
    summary = prepare_fake(tmp_path / "s", tmp_path / "out")
    reasons = {rejection.source: rejection.reason for rejection in summary.rejections}
    assert summary.info.num_clips == 1
    assert reasons["a.parquet:1"] == "row 1 holds no audio"
    assert reasons["a.parquet:2"].startswith("not readable as audio")
    assert reasons["a.parquet:3"] == "has no transcript"
    assert reasons["b.parquet"].startswith("not readable as parquet (")
    assert reasons["c.parquet"].startswith("has the columns audio, words; name one of")
    assert all("\n" not in reason for reason in reasons.values())
    with pytest.raises(DataError, match=r"s/c\.parquet: c\.parquet: has the columns audio, words"):
        open_source(tmp_path / "s/c.parquet")
    mapped = open_source(tmp_path / "s/c.parquet", columns=Columns.parse("text=words"))
    assert isinstance(mapped[0], SourceClip)


def test_damage_within_a_file_takes_the_rows_it_hits(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", _table(60), rows_per_group=20)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 64] = b"\xff" * 64
    path.write_bytes(data)
    clips = [e for e in open_source(path) if isinstance(e, SourceClip)]
    heard = []
    for clip in clips:
        try:
            clip.audio.load()
            heard.append(clip.id)
        except AudioFileError as error:
            assert "cannot be read" in error.reason
            assert "\n" not in str(error)
    assert heard == [f"a/{i}" for i in (*range(20), *range(40, 60))]


def test_a_dataset_of_the_hub_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / "converted/default/train/0000.parquet", _table(2))
    (tmp_path / "original").mkdir()
    asked: list[object] = []

    def download(repo_id: str, *, repo_type: str, revision: str, allow_patterns: str) -> str:
        asked.append((repo_id, repo_type, revision, allow_patterns))
        return str(tmp_path / ("original" if revision == "main" else "converted"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert len(_clips(Path("someone/speech"), "hf")) == 2
    assert asked[1] == ("someone/speech", "dataset", "refs/convert/parquet", "*.parquet")

    def offline(*_: object, **__: object) -> str:
        raise OSError("no connection\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(DataError, match=r"it cannot be used \(no connection\)") as caught:
        open_source("someone/speech", format="hf")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file or directory"):
        open_source("someone/speech")
