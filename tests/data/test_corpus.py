"""A corpus gives back what was written, to us and to any reader of Parquet."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_audio import FAKE_SPEC
from hypothesis import given
from hypothesis import strategies as st

from dialoom.codec import Codes
from dialoom.data import Clip, Corpus, CorpusWriter, Rejection, split_of
from dialoom.errors import DataError


def _clips(number: int, first: int = 0) -> list[Clip]:
    rng = np.random.default_rng(first)
    return [
        Clip(
            id=f"clip-{i}",
            text=f"[S1] text {i}",
            language="en" if i % 2 else None,
            speaker=None,
            codes=Codes(rng.integers(0, 16, (3 + i % 7, 3)).astype(np.uint16)),
            source=f"{i}.wav",
        )
        for i in range(first, first + number)
    ]


def _write(path: Path, *, shards: list[list[Clip]], valid_fraction: float = 0.3) -> Corpus:
    writer = CorpusWriter(path, FAKE_SPEC, valid_fraction=valid_fraction)
    for index, clips in enumerate(shards):
        writer.write(index, clips)
    writer.finish(len(shards))
    return Corpus.open(path)


def test_gives_back_what_was_written(tmp_path: Path) -> None:
    shards = [_clips(40), _clips(3, first=40), []]
    corpus = _write(tmp_path, shards=shards)
    written = [clip for shard in shards for clip in shard]
    assert len(corpus) == 43
    for i in np.random.default_rng(0).permutation(43):
        read = corpus[int(i)]
        np.testing.assert_array_equal(read.codes.frames, written[i].codes.frames)
        assert replace(read, codes=written[i].codes) == written[i]
    assert corpus.lengths.tolist() == [clip.codes.num_frames for clip in written]
    with pytest.raises(IndexError):
        corpus[43]


def test_says_what_it_holds(tmp_path: Path) -> None:
    info = _write(tmp_path, shards=[_clips(40), _clips(3, first=40)]).info
    assert info.codec == FAKE_SPEC
    assert (info.num_shards, info.num_clips, info.num_rejected) == (2, 43, 0)
    assert info.num_train + info.num_valid == 43
    num_frames = sum(3 + i % 7 for i in range(43))
    assert info.hours == pytest.approx(num_frames * 320 / 16_000 / 3600)
    assert (info.languages, info.speakers) == (("en",), ())
    written = json.loads((tmp_path / "corpus.json").read_text())
    assert written["format_version"] == 1
    assert written["resampler"] == "soxr HQ"
    assert written["codec"]["content_hash"] == FAKE_SPEC.content_hash


def test_other_readers_see_the_columns_of_the_format(tmp_path: Path) -> None:
    corpus = _write(tmp_path, shards=[_clips(2)])
    table = pq.read_table(tmp_path / "data-00000.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "id": "string",
        "text": "string",
        "language": "string",
        "speaker": "string",
        "split": "string",
        "duration_s": "double",
        "num_frames": "int32",
        "codes": "list<element: uint16>",
        "source": "string",
        "confidence": "double",
    }
    row = table.to_pylist()[1]
    assert row["codes"] == corpus[1].codes.frames.reshape(-1).tolist(), "frame-major"
    assert row["duration_s"] == pytest.approx(4 * 320 / 16_000)


def test_splits_share_no_clip_and_cover_all(tmp_path: Path) -> None:
    corpus = _write(tmp_path, shards=[_clips(43)])
    train, valid = corpus.indices("train"), corpus.indices("valid")
    assert sorted(train + valid) == list(range(43))
    assert len(valid) == corpus.info.num_valid > 0
    assert all(split_of(corpus[i].id, 0.3) == "valid" for i in valid)


@given(st.text(), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_larger_fraction_only_moves_clips_to_valid(clip_id: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    if split_of(clip_id, low) == "valid":
        assert split_of(clip_id, high) == "valid"
    assert split_of(clip_id, 0.0) == "train"


def test_the_split_never_changes_and_holds_its_share() -> None:
    """The first pins the hash: another one would leak validation clips into training."""
    pinned = ["LJ001-0012", "LJ001-0020", "LJ001-0022"]
    ids = [f"LJ001-{i:04d}" for i in range(1, 10_001)]
    assert [i for i in ids[:60] if split_of(i, 0.05) == "valid"] == pinned
    share = sum(split_of(i, 0.05) == "valid" for i in ids) / len(ids)
    assert share == pytest.approx(0.05, abs=0.007)


def test_the_fingerprint_is_that_of_what_trains(tmp_path: Path) -> None:
    """A resumed run compares it: the same clips in other shards or another directory are equal."""
    clips = _clips(40)
    fingerprint = _write(tmp_path / "a", shards=[clips]).fingerprint
    assert _write(tmp_path / "b", shards=[clips[:7], clips[7:]]).fingerprint == fingerprint
    assert Corpus.open(tmp_path / "a").fingerprint == fingerprint
    longer = Codes(np.zeros((99, 3), np.uint16))
    changes = [
        clips[:-1],
        [clips[1], clips[0], *clips[2:]],
        [replace(clips[0], id="other"), *clips[1:]],
        [replace(clips[0], text="[S1] other"), *clips[1:]],
        [replace(clips[0], language="de"), *clips[1:]],
        [replace(clips[0], codes=longer), *clips[1:]],
    ]
    found = [
        _write(tmp_path / f"{i}", shards=[changed]).fingerprint for i, changed in enumerate(changes)
    ]
    found.append(_write(tmp_path / "c", shards=[clips], valid_fraction=0.6).fingerprint)
    other = CorpusWriter(tmp_path / "d", replace(FAKE_SPEC, content_hash="0" * 64))
    other.write(0, clips)
    other.finish(1)
    found.append(Corpus.open(tmp_path / "d").fingerprint)
    assert len({fingerprint, *found}) == len(found) + 1


def test_reads_a_corpus_that_names_no_source(tmp_path: Path) -> None:
    """As they were written before corpus.json and the shards said it."""
    _write(tmp_path, shards=[_clips(3)])
    content = json.loads((tmp_path / "corpus.json").read_text())
    assert content.pop("source") == ""
    (tmp_path / "corpus.json").write_text(json.dumps(content))
    assert Corpus.open(tmp_path).info.source == ""
    CorpusWriter(tmp_path, FAKE_SPEC, source="b").refuse_other_source(["b"])


def test_can_be_pickled_after_use(tmp_path: Path) -> None:
    corpus = _write(tmp_path, shards=[_clips(40)])
    first = corpus[0]
    copy = pickle.loads(pickle.dumps(corpus))
    np.testing.assert_array_equal(copy[0].codes.frames, first.codes.frames)


def test_threads_get_the_clips_that_they_ask_for(tmp_path: Path) -> None:
    """One looks at the group that is kept; before it takes its clip, another has read on."""
    corpus = _write(tmp_path, shards=[_clips(40)])
    assert corpus[39].id == "clip-39"
    of_another = corpus._cached

    class Looked(tuple[object, ...]):
        """Kept until it is looked at."""

        def __getitem__(self, place: object) -> object:
            if isinstance(place, slice):
                corpus._cached = of_another
            return tuple.__getitem__(self, place)  # type: ignore[index]

    assert corpus[0].id == "clip-0"
    assert corpus._cached is not None
    corpus._cached = Looked(corpus._cached)  # type: ignore[assignment]
    assert corpus[1].id == "clip-1"


def test_reads_only_the_codes_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = _write(tmp_path, shards=[_clips(40)])
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, i: int, **kwargs: object) -> object:
        read.append(i)
        return original(self, i, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    _ = corpus.lengths, corpus.texts, corpus.indices("train")
    assert read == []
    for i in (0, 1, 15, 16, 39):
        corpus[i]
    assert read == [0, 1, 2], "16 clips per group, the last group kept"


def _columns(corpus: Corpus) -> tuple[list[int], list[tuple[str, str | None]], list[int], str]:
    return corpus.lengths.tolist(), corpus.texts, corpus.indices("valid"), corpus.fingerprint


def test_columns_are_read_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a training of a million clips does not begin with a look at each shard."""
    clips = [_clips(20), [], _clips(20, first=20)]
    corpus = _write(tmp_path, shards=clips)
    (tmp_path / "index.feather").rename(tmp_path / "elsewhere")
    of_shards = _columns(corpus)
    (tmp_path / "elsewhere").rename(tmp_path / "index.feather")
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    assert _columns(Corpus.open(tmp_path)) == of_shards
    assert len(of_shards[0]) == 40 and of_shards[2]


def test_an_index_of_other_shards_counts_for_nothing(tmp_path: Path) -> None:
    """As one left beside shards that an earlier version wrote, or copied without them."""
    clips = _clips(40)
    expected = _columns(_write(tmp_path / "a", shards=[clips]))
    other = [replace(clip, text="[S1] another text") for clip in clips]
    _write(tmp_path / "b", shards=[other])
    index = tmp_path / "a/index.feather"
    whole = index.read_bytes()
    for content in ((tmp_path / "b/index.feather").read_bytes(), whole[:-20], b"", b"ARROW1"):
        index.write_bytes(content)
        assert _columns(Corpus.open(tmp_path / "a")) == expected
    CorpusWriter(tmp_path / "a", FAKE_SPEC, valid_fraction=0.3).finish(1)
    assert index.read_bytes() == whole, "finishing again writes it anew, byte for byte"


def test_a_large_corpus_is_opened_without_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with one is told when it is read, by a clip or by a column."""
    monkeypatch.setattr("dialoom.data.corpus.CHECKED_ON_OPEN", 1)
    _write(tmp_path, shards=[_clips(20), [], _clips(20, first=20), _clips(3, first=40)])
    (tmp_path / "data-00002.parquet").write_bytes(b"PAR1")
    corpus = Corpus.open(tmp_path)
    assert (len(corpus), corpus[19].id, corpus[42].id) == (43, "clip-19", "clip-42")
    for read in (lambda: corpus[20], lambda: corpus.lengths, lambda: corpus.texts):
        with pytest.raises(DataError, match=r"data-00002\.parquet: damaged"):
            read()


def test_reads_a_corpus_that_counts_no_shards_clips(tmp_path: Path) -> None:
    _write(tmp_path, shards=[_clips(20), _clips(3, first=20)])
    content = json.loads((tmp_path / "corpus.json").read_text())
    assert content.pop("clips_per_shard") == [20, 3]
    (tmp_path / "corpus.json").write_text(json.dumps(content))
    assert [Corpus.open(tmp_path)[i].id for i in (19, 22)] == ["clip-19", "clip-22"]


def test_refuses_codes_of_another_codec(tmp_path: Path) -> None:
    _write(tmp_path, shards=[_clips(2)])
    other = replace(FAKE_SPEC, name="other", content_hash="0" * 64)
    with pytest.raises(DataError, match=r"codec fake \(ffff.*not by other \(0000.*; use that"):
        CorpusWriter(tmp_path, other)
    fewer = replace(FAKE_SPEC, num_codebooks=2)
    with pytest.raises(DataError, match="num_codebooks 3, expected 2"):
        CorpusWriter(tmp_path, fewer)
    with pytest.raises(DataError, match="clip clip-0: 3 codebooks, codec fake has 2"):
        CorpusWriter(tmp_path / "new", fewer).write(0, _clips(1))


def test_refuses_a_shard_from_elsewhere(tmp_path: Path) -> None:
    _write(tmp_path / "a", shards=[_clips(2)])
    other = CorpusWriter(tmp_path / "b", replace(FAKE_SPEC, content_hash="0" * 64))
    other.write(0, _clips(2))
    (tmp_path / "b/data-00000.parquet").replace(tmp_path / "a/data-00000.parquet")
    with pytest.raises(DataError, match=r"data-00000\.parquet: its codes were made by codec fake"):
        Corpus.open(tmp_path / "a")


def test_refuses_what_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no corpus\.json in it; make it with `dialoom prepare`"):
        Corpus.open(tmp_path)
    _write(tmp_path, shards=[_clips(2), _clips(2, first=2)])
    info = (tmp_path / "corpus.json").read_text()
    CorpusWriter(tmp_path, FAKE_SPEC).write(0, _clips(1))
    with pytest.raises(DataError, match=r"unfinished: run the same `dialoom prepare` again"):
        Corpus.open(tmp_path)
    (tmp_path / "corpus.json").write_text(info)
    with pytest.raises(DataError, match=r"counts 2 clips in data-00000\.parquet, it holds 1"):
        Corpus.open(tmp_path)
    (tmp_path / "data-00001.parquet").unlink()
    with pytest.raises(DataError, match="counts 2 shards, 1 are there"):
        Corpus.open(tmp_path)
    CorpusWriter(tmp_path, FAKE_SPEC).write(0, _clips(2))
    (tmp_path / "corpus.json").write_text(info)
    (tmp_path / "data-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"data-00001\.parquet: damaged"):
        Corpus.open(tmp_path)
    (tmp_path / "corpus.json").write_text('{"format_version": 9}')
    with pytest.raises(DataError, match="format_version") as caught:
        Corpus.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_shard_that_the_disk_has_spoiled_is_one_line(tmp_path: Path) -> None:
    """Its end, which says what is in it, is whole; a column is not."""
    _write(tmp_path, shards=[_clips(40)])
    (tmp_path / "index.feather").unlink()
    shard = tmp_path / "data-00000.parquet"
    column = pq.read_metadata(shard).row_group(0).column
    for name in ("codes.list.element", "text"):
        (chunk,) = [c for c in map(column, range(10)) if c.path_in_schema == name]
        content = bytearray(shard.read_bytes())
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
        shard.write_bytes(content)
        with pytest.raises(DataError, match=r"data-00000\.parquet: damaged.*; remove it and run"):
            _ = Corpus.open(tmp_path)[0] if name != "text" else Corpus.open(tmp_path).texts
    writer = CorpusWriter(tmp_path, FAKE_SPEC)
    with pytest.raises(DataError, match=r"data-00000\.parquet: damaged"):
        writer.finish(1)


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = _write(tmp_path, shards=[_clips(2)])
    before = (tmp_path / "data-00000.parquet").read_bytes()

    def fail(table: object, path: Path, **kwargs: object) -> None:
        path.write_bytes(b"half a fi")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        CorpusWriter(tmp_path, FAKE_SPEC).write(0, _clips(3))
    assert (tmp_path / "data-00000.parquet").read_bytes() == before
    assert list(tmp_path.glob("*.tmp")) == []
    assert len(corpus) == 2


def test_a_corpus_of_nothing_is_refused_and_says_why(tmp_path: Path) -> None:
    writer = CorpusWriter(tmp_path, FAKE_SPEC)
    writer.write(0, [], rejections=[Rejection("a.wav", "is silent", "record it again")])
    with pytest.raises(DataError, match=r"none of 1 entries .* a\.wav: is silent; record it again"):
        writer.finish(1)
    assert not (tmp_path / "corpus.json").exists()
    assert json.loads((tmp_path / "rejected.jsonl").read_text())["source"] == "a.wav"


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_refuses_a_fraction_that_leaves_no_training(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(DataError, match=f"valid_fraction {fraction}: must be"):
        CorpusWriter(tmp_path, FAKE_SPEC, valid_fraction=fraction)
