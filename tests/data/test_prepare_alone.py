"""Preparing meets a full disk, a second process, and what a killed run left."""

import errno
import fcntl
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_audio import FakeCodec
from fake_source import prepare_fake, read_files, write_source

from dialoom.audio import Waveform
from dialoom.codec import Codes
from dialoom.data.lock import LOCK_FILE, sole_writer
from dialoom.errors import DataError


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.data.preparation.CLIPS_PER_SHARD", 4)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("full_at", range(3))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_the_rerun_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int, number: int
) -> None:
    source = write_source(tmp_path, number=11)
    prepare_fake(source, tmp_path / "whole")
    original = pq.write_table

    def fill(table: object, path: Path, **keywords: object) -> None:
        if len(list((tmp_path / "out").glob("*.parquet"))) == full_at:
            path.write_bytes(b"PAR1 half a file")
            raise OSError(number, "as pyarrow says it")
        original(table, path, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", fill)
        with pytest.raises(
            DataError, match=r"the disk is full \(.*\), it is not written"
        ) as caught:
            prepare_fake(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    expected = [f"data-0000{i}.parquet" for i in range(full_at)]
    assert [p.name for p in sorted((tmp_path / "out").glob("*"))] == expected
    assert prepare_fake(source, tmp_path / "out").num_reused == 4 * full_at
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")


@pytest.mark.parametrize("name", ["rejected.jsonl", "corpus.json"])
def test_a_disk_that_is_full_at_the_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = write_source(tmp_path)
    prepare_fake(source, tmp_path / "whole")
    original = Path.write_text

    def fill(self: Path, *arguments: object, **keywords: object) -> int:
        if self.name.startswith(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, *arguments, **keywords)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fill)
        with pytest.raises(DataError, match=rf"{name}: the disk is full"):
            prepare_fake(source, tmp_path / "out")
    codec = FakeCodec()
    prepare_fake(source, tmp_path / "out", codec)
    assert codec.num_encoded == 0
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")


def test_a_second_process_is_refused_at_once(tmp_path: Path) -> None:
    """flock excludes descriptors, so one in this process stands for another process."""
    source = write_source(tmp_path)
    (tmp_path / "out").mkdir()
    descriptor = os.open(tmp_path / "out" / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    codec = FakeCodec()
    with pytest.raises(DataError, match=r"out: another process is at work there; wait until"):
        prepare_fake(source, tmp_path / "out", codec)
    assert codec.num_encoded == 0
    os.close(descriptor)
    prepare_fake(source, tmp_path / "out")
    assert LOCK_FILE not in read_files(tmp_path / "out")


def test_the_lock_lasts_while_the_codec_works(tmp_path: Path) -> None:
    source = write_source(tmp_path)

    class Second(FakeCodec):
        def encode(self, waveform: Waveform) -> Codes:
            with pytest.raises(DataError, match="another process"):
                prepare_fake(source, tmp_path / "out")
            return super().encode(waveform)

    assert prepare_fake(source, tmp_path / "out", Second()).info.num_clips == 5


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, locked = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        original(descriptor, operation)
        locked.append(descriptor)
        if len(locked) == 1:
            (tmp_path / LOCK_FILE).unlink()

    monkeypatch.setattr(fcntl, "flock", late)
    with sole_writer(tmp_path), pytest.raises(DataError, match="another process"):
        with sole_writer(tmp_path):
            raise AssertionError("two are in")
    assert len(locked) == 2


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(DataError, match=r"cannot be locked \(No locks available\); name a dir"):
        prepare_fake(write_source(tmp_path), tmp_path / "out")


def test_a_source_that_is_refused_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory"):
        prepare_fake(tmp_path / "gone", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_killed_run_was_writing_does_not_stay(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    prepare_fake(source, tmp_path / "whole")
    (tmp_path / "out").mkdir()
    for name in (LOCK_FILE, "data-00000.parquet.begun.tmp", "corpus.json.tmp"):
        (tmp_path / "out" / name).write_bytes(b"half")
    prepare_fake(source, tmp_path / "out")
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")
