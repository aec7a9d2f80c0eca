"""Preparing again goes on where it was stopped, redoes what changed, and loses nothing unasked."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fake_audio import FAKE_SPEC, FakeCodec, write_tone
from fake_source import prepare_fake, read_files, write_clip, write_source

from dialoom.audio import Waveform
from dialoom.codec import Codes
from dialoom.data import Corpus, PrepareOptions, Rejection, prepare
from dialoom.data.preparation import SAVE_EVERY_S
from dialoom.errors import DataError


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.data.preparation.CLIPS_PER_SHARD", 4)


class _KilledCodec(FakeCodec):
    def __init__(self, stop_at: int = 6) -> None:
        super().__init__()
        self.stop_at = stop_at

    def encode(self, waveform: Waveform) -> Codes:
        if self.num_encoded == self.stop_at:
            raise KeyboardInterrupt
        return super().encode(waveform)


@pytest.mark.usefixtures("small_shards")
def test_a_killed_run_goes_on_and_makes_the_same_corpus(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=11)
    (source / "clip-01.wav").write_bytes(b"")
    prepare_fake(source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare_fake(source, tmp_path / "killed", _KilledCodec())
    assert sorted(read_files(tmp_path / "killed")) == [
        "data-00000.parquet",
        "data-00001.parquet.begun",
    ]
    with pytest.raises(DataError, match="unfinished"):
        Corpus.open(tmp_path / "killed")
    codec = FakeCodec()
    summary = prepare_fake(source, tmp_path / "killed", codec)
    assert (codec.num_encoded, summary.num_reused) == (4, 7), "no clip is encoded twice"
    assert [rejection.source for rejection in summary.rejections] == ["clip-01.wav"]
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


@pytest.mark.parametrize("stop_at", [1, 2])
def test_a_shard_without_a_finished_one_is_taken_over(tmp_path: Path, stop_at: int) -> None:
    """Also one that has rejections among its clips, and one that is begun more than once."""
    source = write_source(tmp_path, number=8)
    (source / "clip-00.wav").write_bytes(b"")
    (source / "clip-02.txt").unlink()
    prepare_fake(source, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prepare_fake(source, tmp_path / "killed", _KilledCodec(stop_at))
    with pytest.raises(DataError, match="unfinished"):
        Corpus.open(tmp_path / "killed")
    assert prepare_fake(source, tmp_path / "killed").num_reused == {1: 4, 2: 6}[stop_at]
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


def test_a_run_that_is_shot_loses_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs after SIGKILL, so what is there while the codec works is what stays.

    As on a GPU, where no clip is encoded while another is written.
    """
    assert SAVE_EVERY_S <= 60
    monkeypatch.setattr("dialoom.data.preparation.SAVE_EVERY_S", 0.0)
    source = write_source(tmp_path, number=5)
    shot = tmp_path / "shot"

    class ShotCodec(FakeCodec):
        def encode(self, waveform: Waveform) -> Codes:
            if self.num_encoded == 3:
                shutil.copytree(tmp_path / "out", shot)
            return super().encode(waveform)

    prepare(source, tmp_path / "out", PrepareOptions(device="cuda"), codec=ShotCodec())
    assert sorted(read_files(shot)) == [".lock", "data-00000.parquet.begun"]
    assert prepare_fake(source, shot).num_reused == 3
    assert read_files(shot) == read_files(tmp_path / "out")


def test_what_was_begun_from_other_recordings_is_not_taken_over(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=5)
    with pytest.raises(KeyboardInterrupt):
        prepare_fake(source, tmp_path / "out", _KilledCodec(3))
    write_tone(source / "clip-01.wav", 0.5)
    codec = FakeCodec()
    assert prepare_fake(source, tmp_path / "out", codec).num_reused == 0
    assert codec.num_encoded == 5
    assert Corpus.open(tmp_path / "out").lengths[1] == 25


@pytest.mark.usefixtures("small_shards")
def test_repeating_changes_nothing_and_encodes_nothing(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=9)
    prepare_fake(source, tmp_path / "out")
    before = read_files(tmp_path / "out")
    codec = FakeCodec()
    assert prepare_fake(source, tmp_path / "out", codec).num_reused == 9
    assert codec.num_encoded == 0
    assert read_files(tmp_path / "out") == before


@pytest.mark.usefixtures("small_shards")
def test_a_mended_clip_redoes_its_shard_only(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=9)
    (source / "clip-05.txt").unlink()
    assert prepare_fake(source, tmp_path / "out").info.num_clips == 8
    (source / "clip-05.txt").write_text("mended")
    codec = FakeCodec()
    summary = prepare_fake(source, tmp_path / "out", codec)
    assert (summary.info.num_clips, summary.rejections) == (9, ())
    assert codec.num_encoded == 4
    assert Corpus.open(tmp_path / "out")[5].text == "[S1] mended"


@pytest.mark.usefixtures("small_shards")
def test_a_source_that_shrank_leaves_no_old_shard(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=9)
    prepare_fake(source, tmp_path / "out")
    for i in range(5, 9):
        (source / f"clip-{i:02d}.wav").unlink()
    prepare_fake(source, tmp_path / "out")
    assert len(Corpus.open(tmp_path / "out")) == 5
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2


@pytest.mark.usefixtures("small_shards")
def test_other_settings_are_not_mixed_with_old_shards(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=9)
    prepare_fake(source, tmp_path / "out")
    options = PrepareOptions(valid_fraction=0.5)
    prepare(source, tmp_path / "out", options, codec=FakeCodec())
    assert Corpus.open(tmp_path / "out").info.num_valid > 0


def test_a_corpus_of_another_codec_is_refused_and_stays(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    prepare_fake(source, tmp_path / "out")
    before = read_files(tmp_path / "out")
    other = FakeCodec(replace(FAKE_SPEC, name="other", content_hash="0" * 64))
    with pytest.raises(DataError, match=r"were made by codec fake .* not by other") as caught:
        prepare_fake(source, tmp_path / "out", other)
    assert "\n" not in str(caught.value)
    assert read_files(tmp_path / "out") == before


@pytest.mark.parametrize("finished", [True, False])
def test_another_source_is_refused_and_the_corpus_stays(tmp_path: Path, finished: bool) -> None:
    """Equal ids are no sign of an equal source: two voices read the same list of sentences."""
    first, second = write_source(tmp_path / "a"), write_source(tmp_path / "b")
    if finished:
        prepare_fake(first, tmp_path / "out")
    else:
        with pytest.raises(KeyboardInterrupt):
            prepare_fake(first, tmp_path / "out", _KilledCodec(2))
    before = read_files(tmp_path / "out")
    codec = FakeCodec()
    with pytest.raises(DataError, match=r"out: holds clips of another source, source \(") as caught:
        prepare_fake(second, tmp_path / "out", codec)
    assert "name another directory, or remove this one" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert codec.num_encoded == 0
    assert read_files(tmp_path / "out") == before


def test_a_corpus_says_its_source_and_no_path(tmp_path: Path) -> None:
    info = prepare_fake(write_source(tmp_path), tmp_path / "out").info
    assert info.source.startswith("source (")
    assert str(tmp_path) not in (tmp_path / "out/corpus.json").read_text()


def test_a_source_that_moved_is_the_same(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    prepare_fake(source, tmp_path / "out")
    moved = source.rename(tmp_path / "elsewhere")
    assert prepare_fake(moved, tmp_path / "out").num_reused == 5
    write_clip(moved, "clip-05")
    assert prepare_fake(moved, tmp_path / "out").info.num_clips == 6


def _table(tmp_path: Path, number: int) -> Path:
    write_source(tmp_path, number=number)
    rows = "".join(f"clip-{i:02d}.wav,text\n" for i in range(number))
    table = tmp_path / "source/table.csv"
    table.write_text(f"audio,text\n{rows}")
    return table


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("gone", [range(9), range(4, 8)])
def test_recordings_that_are_gone_take_no_clips_with_them(tmp_path: Path, gone: range) -> None:
    """A disk that is not mounted; one of several disks."""
    table = _table(tmp_path, 9)
    prepare_fake(table, tmp_path / "out")
    before = read_files(tmp_path / "out")
    for i in gone:
        (table.parent / f"clip-{i:02d}.wav").unlink()
    with pytest.raises(DataError, match=r"files are gone of which the corpus holds") as caught:
        prepare_fake(table, tmp_path / "out")
    assert f"table.csv:{gone[0] + 2}: no such file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_files(tmp_path / "out") == before


def test_recordings_that_vanish_under_the_run_stop_it(tmp_path: Path) -> None:
    """As rejections in a finished shard they would stay out when the disk is back."""
    source = write_source(tmp_path, number=12)
    last = source / "clip-11.wav"

    class Unmounting(FakeCodec):
        def encode(self, waveform: Waveform) -> Codes:
            if self.num_encoded == 0:
                last.rename(tmp_path / "away.wav")
            return super().encode(waveform)

    with pytest.raises(DataError, match=r"clip-11\.wav: was listed by the source and is gone"):
        prepare_fake(source, tmp_path / "out", Unmounting())
    (tmp_path / "away.wav").rename(last)
    summary = prepare_fake(source, tmp_path / "out")
    assert (summary.info.num_clips, summary.rejections, summary.num_reused) == (12, (), 11)


def test_some_recordings_of_a_shard_that_are_gone_are_noticed_too(tmp_path: Path) -> None:
    """Half a disk is mounted: the other half's clips must not be lost."""
    source = tmp_path / "source"
    lines = [f"clip-{i}|some text {i}" for i in range(4)]
    for i in range(4):
        write_tone(source / "wavs" / f"clip-{i}.wav", 0.2, frequency_hz=200.0 + i)
    (source / "metadata.csv").write_text("\n".join(lines))
    prepare_fake(source, tmp_path / "out")
    before = read_files(tmp_path / "out")
    (source / "wavs" / "clip-2.wav").unlink()
    with pytest.raises(DataError, match="1 files are gone of which the corpus holds clips"):
        prepare_fake(source, tmp_path / "out")
    assert read_files(tmp_path / "out") == before


def test_file_that_cannot_be_opened_stops_the_run_and_is_no_rejection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk error or a missing right may be mended; a rejection would outlast that."""
    source = write_source(tmp_path, number=2)
    original = Path.open

    def fail(self: Path, *arguments: object, **keywords: object) -> object:
        if self.name == "clip-01.wav":
            raise OSError(5, "Input/output error")
        return original(self, *arguments, **keywords)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        with pytest.raises(DataError, match=r"clip-01.wav: cannot be read \(Input/output error\)"):
            prepare_fake(source, tmp_path / "out")
    assert prepare_fake(source, tmp_path / "out").info.num_clips == 2


def test_ids_that_are_absolute_paths_and_names_that_are_no_utf8_are_listed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_tone(source / "wavs" / "a.wav", 0.2)
    (source / "metadata.csv").write_text("a|text\n/no/such/b|text")
    summary = prepare_fake(source, tmp_path / "out")
    assert [rejection.source for rejection in summary.rejections] == ["metadata.csv:2"]
    rejection = Rejection("caf\udce9.txt", "is not UTF-8: caf\udce9.txt", "save it as UTF-8")
    assert str(rejection).encode("utf-8")
