"""A corpus in object storage is copied once, then as far as it changed, and read as any other."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tiny_run import write_corpus

from dialoom.data import Corpus, CorpusWriter, Mixture
from dialoom.data.remote import local_copy
from dialoom.errors import DataError

ADDRESS = "memory://bucket/speech"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """A corpus of two shards in memory, and a cache of its own."""
    monkeypatch.setenv("DIALOOM_CACHE", str(tmp_path / "cache"))
    corpus = Corpus.open(write_corpus(tmp_path / "local", num_clips=9))
    writer = CorpusWriter(tmp_path / "two", corpus.info.codec, valid_fraction=0.3)
    for index, places in enumerate((range(5), range(5, 9))):
        writer.write(index, [corpus[i] for i in places])
    writer.finish(2)
    memory = MemoryFileSystem()
    memory.store.clear()
    _upload(memory, tmp_path / "two")
    yield memory
    memory.store.clear()


def _upload(storage: MemoryFileSystem, directory: Path) -> None:
    for file in directory.iterdir():
        storage.pipe(f"/bucket/speech/{file.name}", file.read_bytes())


def _opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    original = MemoryFileSystem._open

    def watched(self, path, mode="rb", **kwargs):  # type: ignore[no-untyped-def]
        opened.append(Path(path).name)
        return original(self, path, mode, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "_open", watched)
    return opened


def test_it_is_the_same_corpus(storage: MemoryFileSystem, tmp_path: Path) -> None:
    remote, local = Corpus.open(ADDRESS), Corpus.open(tmp_path / "two")
    assert remote.fingerprint == local.fingerprint
    assert remote.info == local.info
    for i in (8, 0, 5):
        assert np.array_equal(remote[i].codes.frames, local[i].codes.frames)
    mixture = Mixture.open([(ADDRESS, 0.5), (str(tmp_path / "local"), 0.5)])
    assert mixture.dataset(split="train")[0].id.startswith("speech/")


def test_only_what_changed_is_fetched(
    storage: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = _opened(monkeypatch)
    Corpus.open(ADDRESS)
    assert sorted(opened) == sorted(file.name for file in (tmp_path / "two").iterdir())
    opened.clear()
    Corpus.open(ADDRESS)
    assert opened == []
    writer = CorpusWriter(tmp_path / "two", Corpus.open(tmp_path / "two").info.codec)
    writer.write(1, [Corpus.open(tmp_path / "local")[8]])
    info = writer.finish(2)
    for name in ("data-00001.parquet", "corpus.json"):
        storage.pipe(f"/bucket/speech/{name}", (tmp_path / "two" / name).read_bytes())
    opened.clear()
    assert len(Corpus.open(ADDRESS)) == info.num_clips == 6
    assert sorted(opened) == ["corpus.json", "data-00001.parquet"]


def test_a_shard_that_is_gone_there_goes_here_too(
    storage: MemoryFileSystem, tmp_path: Path
) -> None:
    directory = local_copy(ADDRESS)
    writer = CorpusWriter(tmp_path / "two", Corpus.open(tmp_path / "two").info.codec)
    writer.finish(1)
    storage.rm("/bucket/speech/data-00001.parquet")
    _upload(storage, tmp_path / "two")
    assert len(Corpus.open(ADDRESS)) == 5
    assert not (directory / "data-00001.parquet").exists()


def test_a_copy_that_broke_off_is_no_corpus_and_goes_on(
    storage: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MemoryFileSystem._open

    def broken(self, path, mode="rb", **kwargs):  # type: ignore[no-untyped-def]
        if path.endswith("00001.parquet"):
            raise ConnectionError("reset\nby peer")
        return original(self, path, mode, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "_open", broken)
        with pytest.raises(DataError, match=r"cannot be copied to .* \(reset\)") as caught:
            Corpus.open(ADDRESS)
    assert "\n" not in str(caught.value)
    opened = _opened(monkeypatch)
    assert len(Corpus.open(ADDRESS)) == 9
    assert "data-00000.parquet" not in opened


def test_a_damaged_list_of_what_was_copied_costs_a_copy(storage: MemoryFileSystem) -> None:
    directory = local_copy(ADDRESS)
    (directory / "copied.json").write_text(json.dumps([1]))
    assert len(Corpus.open(ADDRESS)) == 9


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://bucket/nothing", "no corpus.json there; make it with `dialoom prepare`"),
        ("nosuch://bucket/corpus", "cannot be copied to .*nosuch"),
        ("s3://bucket/corpus", "cannot be copied to .*[Ii]nstall s3fs"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    storage: MemoryFileSystem, address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=message) as caught:
        Corpus.open(address)
    assert "\n" not in str(caught.value)
