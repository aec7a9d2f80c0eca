"""A dataset that is streamed makes a corpus, and a run that was stopped goes on in the stream."""

import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import typer
from fake_audio import FakeCodec, tone
from fake_source import read_files
from typer.testing import CliRunner

from dialoom.cli.prepare import prepare_command
from dialoom.data import Columns, Corpus, PrepareOptions, PrepareSummary, prepare
from dialoom.data.row_stream import RowStream, StreamState
from dialoom.data.stream_preparation import STATE_FILE, prepare_stream
from dialoom.errors import DataError

AUDIO_TYPE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FEATURES = {
    "audio": {"sampling_rate": 16_000, "_type": "Audio"},
    "sentence": {"dtype": "string", "_type": "Value"},
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if "datasets" not in sys.modules:
        os.environ["HF_DATASETS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr("dialoom.data.preparation.CLIPS_PER_SHARD", 8)


def _flac(number: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(0.2 + 0.02 * (number % 5)).samples, 16_000, format="FLAC")
    return file.getvalue()


def _write_parquet(path: Path, first: int, number: int, *, bad: tuple[int, ...] = ()) -> None:
    """As the Hub has it: the feature Audio stands in the metadata, the recordings in the rows."""
    rows = range(first, first + number)
    audio = [{"bytes": b"noise" if i in bad else _flac(i), "path": f"{i}.flac"} for i in rows]
    columns = {"audio": pa.array(audio, AUDIO_TYPE), "sentence": [f"text {i}" for i in rows]}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 rows in two files of train, 4 of test; two of them are no audio."""
    root = tmp_path_factory.mktemp("set")
    _write_parquet(root / "data/test-00000-of-00001.parquet", 100, 4)
    _write_parquet(root / "data/train-00000-of-00002.parquet", 0, 17, bad=(3,))
    _write_parquet(root / "data/train-00001-of-00002.parquet", 17, 13, bad=(20,))
    return root


def _prepare(source: Path, out: Path, codec: FakeCodec | None = None) -> PrepareSummary:
    return prepare_stream(str(source), out, PrepareOptions(workers=1), codec=codec or FakeCodec())


class _KilledCodec(FakeCodec):
    def __init__(self, stop_at: int) -> None:
        super().__init__()
        self.stop_at = stop_at

    def encode(self, waveform):  # type: ignore[no-untyped-def]
        if self.num_encoded == self.stop_at:
            raise KeyboardInterrupt
        return super().encode(waveform)


def test_the_clips_are_those_of_the_files(source: Path, tmp_path: Path) -> None:
    summary = _prepare(source, tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")
    prepare(source, tmp_path / "files", codec=FakeCodec())
    files = Corpus.open(tmp_path / "files")
    assert [text for text, _ in corpus.texts] == [text for text, _ in files.texts]
    assert corpus.lengths.tolist() == files.lengths.tolist()
    assert [corpus[i].codes.frames.tolist() for i in range(len(corpus))] == [
        files[i].codes.frames.tolist() for i in range(len(files))
    ]
    assert (corpus[0].id, corpus[4].id) == ("test/0", "train/0")
    assert [rejection.source for rejection in summary.rejections] == ["train:3", "train:20"]
    assert not (tmp_path / "out" / STATE_FILE).exists()


@pytest.mark.parametrize("stop_at", [1, 9, 21])
def test_a_stopped_run_goes_on_and_makes_the_same_corpus(
    source: Path, tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _prepare(source, tmp_path / "out", _KilledCodec(stop_at))
    opened: list[StreamState | None] = []
    original = RowStream.entries

    def watched(self, first_row, state, *, every):  # type: ignore[no-untyped-def]
        opened.append(state)
        return original(self, first_row, state, every=every)

    monkeypatch.setattr(RowStream, "entries", watched)
    codec = FakeCodec()
    summary = _prepare(source, tmp_path / "out", codec)
    assert codec.num_encoded == 32 - stop_at, "no clip is encoded twice"
    assert summary.num_reused >= stop_at
    rows = [state.row if state else 0 for state in opened]
    assert rows == [{1: 0, 9: 8, 21: 16}[stop_at]], "finished shards are not read again"
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")


def test_without_its_state_the_stream_is_read_from_the_start(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _prepare(source, tmp_path / "out", _KilledCodec(21))
    (tmp_path / "out" / STATE_FILE).write_text("[1, ")
    codec = FakeCodec()
    _prepare(source, tmp_path / "out", codec)
    assert codec.num_encoded == 11
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")


def test_repeating_encodes_nothing_and_another_dataset_is_refused(
    source: Path, tmp_path: Path
) -> None:
    _prepare(source, tmp_path / "out")
    before = read_files(tmp_path / "out")
    codec = FakeCodec()
    assert _prepare(source, tmp_path / "out", codec).num_reused == 34
    assert codec.num_encoded == 0
    assert read_files(tmp_path / "out") == before
    _write_parquet(tmp_path / "other/train.parquet", 0, 9)
    with pytest.raises(DataError, match="holds clips of another source"):
        _prepare(tmp_path / "other", tmp_path / "out")
    assert read_files(tmp_path / "out") == before


def test_a_last_shard_that_is_full_ends_the_stream_too(tmp_path: Path) -> None:
    _write_parquet(tmp_path / "set/train.parquet", 0, 16)
    assert _prepare(tmp_path / "set", tmp_path / "out").info.num_shards == 2
    assert _prepare(tmp_path / "set", tmp_path / "out").num_reused == 16


def test_webdataset_as_emilia_has_it(tmp_path: Path) -> None:
    """`datasets` calls the columns by their endings; the record's times are of another file."""
    tmp_path.joinpath("set").mkdir()
    with tarfile.open(tmp_path / "set/EN-0.tar", "w") as tar:
        for i in range(3):
            record = {"text": f"hello {i}", "language": "en", "start": 5.0, "end": 6.0}
            for name, data in ((f"{i}.json", json.dumps(record).encode()), (f"{i}.flac", _flac(i))):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    _prepare(tmp_path / "set", tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.texts == [(f"[S1] hello {i}", "en") for i in range(3)]
    assert corpus[0].codes.num_frames > 5


def test_ids_that_come_twice_are_refused_over_shards(tmp_path: Path) -> None:
    table = pa.table(
        {
            "audio": [_flac(i) for i in range(12)],
            "text": ["some text"] * 12,
            "id": [f"{i % 10}" for i in range(12)],
        }
    )
    (tmp_path / "set").mkdir()
    pq.write_table(table, tmp_path / "set/train.parquet")
    with pytest.raises(KeyboardInterrupt):
        _prepare(tmp_path / "set", tmp_path / "out", _KilledCodec(9))
    summary = _prepare(tmp_path / "set", tmp_path / "out")
    assert [r.reason for r in summary.rejections] == [
        "has the id '0', as train:0 has",
        "has the id '1', as train:1 has",
    ]


def test_what_a_person_can_mend_is_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ("someone/nothing", str(tmp_path)):
        with pytest.raises(DataError, match="cannot be streamed") as caught:
            prepare_stream(wrong, tmp_path / "out", codec=FakeCodec())
        assert "\n" not in str(caught.value)
    options = PrepareOptions(columns=Columns.parse("text=words"))
    with pytest.raises(DataError, match="split test: has the columns audio, sentence; name one of"):
        prepare_stream(str(source), tmp_path / "out", options, codec=FakeCodec())
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'dialoom\[streaming\]'"):
        _prepare(source, tmp_path / "out")


def test_a_stream_that_breaks_off_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(source, tmp_path / "whole")
    original = RowStream._rows

    def broken(self, dataset, row):  # type: ignore[no-untyped-def]
        class Flaky:
            def __iter__(self):  # type: ignore[no-untyped-def]
                for number, values in enumerate(dataset):
                    if number == 12:
                        raise ConnectionError("reset by peer\nat once")
                    yield values

        return original(self, Flaky(), row)

    with monkeypatch.context() as patch:
        patch.setattr(RowStream, "_rows", broken)
        with pytest.raises(DataError, match=r"broke off after row 16 \(reset by peer\)"):
            _prepare(source, tmp_path / "out")
    assert (tmp_path / "out/data-00000.parquet").exists()
    assert _prepare(source, tmp_path / "out").num_reused >= 8
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")


def test_the_command(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.data.preparation.load_codec", lambda name, device: FakeCodec())
    app = typer.Typer()
    app.command()(prepare_command)
    arguments = [str(source), str(tmp_path / "out"), "--streaming"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "32 clips" in result.output
    arguments[2:] = ["--subset", "de"]
    result = CliRunner().invoke(app, arguments)
    assert str(result.exception) == "--subset de: goes with --streaming only; add that"
