"""Tars of KEY.audio and KEY.json or KEY.txt become clips without being unpacked."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from fake_audio import FakeCodec, write_tone
from fake_source import prepare_fake, read_files

from dialoom.audio import read_audio
from dialoom.data import Corpus, Rejection, SourceClip, open_source, prepare
from dialoom.errors import DataError


def _write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _audio(tmp_path: Path, suffix: str, duration_s: float = 0.5) -> bytes:
    return write_tone(tmp_path / f"tone{suffix}", duration_s).read_bytes()


def _emilia(tmp_path: Path, number: int = 3) -> Path:
    """Names and fields as in Emilia's DE_B00000.tar."""
    members = {}
    for i in range(number):
        key = f"DE_B00000_S00000_W{i:06d}"
        record = {
            "id": key,
            "wav": f"DE_B00000/DE_B00000_S00000/mp3/{key}.mp3",
            "text": f" Guten Tag, Nummer {i}.",
            "duration": 0.5 + 0.1 * i,
            "speaker": "DE_B00000_S00000",
            "language": "de",
            "dnsmos": 3.3,
        }
        members[f"{key}.json"] = json.dumps(record).encode()
        members[f"{key}.mp3"] = _audio(tmp_path, ".mp3", 0.5 + 0.1 * i)
    return _write_tar(tmp_path / "emilia/DE/DE-B000000.tar", members)


def test_emilia(tmp_path: Path) -> None:
    _emilia(tmp_path)
    clips = [e for e in open_source(tmp_path / "emilia") if isinstance(e, SourceClip)]
    assert [clip.id for clip in clips] == [f"DE_B00000_S00000_W{i:06d}" for i in range(3)]
    assert clips[1].text == "[S1] Guten Tag, Nummer 1."
    assert (clips[1].language, clips[1].speaker) == ("de", "DE_B00000_S00000")
    assert clips[1].source == "DE/DE-B000000.tar/DE_B00000_S00000_W000001.mp3"
    write_tone(tmp_path / "same.mp3", 0.6)
    expected = read_audio(tmp_path / "same.mp3")
    np.testing.assert_array_equal(clips[1].audio.load().samples, expected.samples)


def test_a_tar_prepares_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialoom.data.preparation.CLIPS_PER_SHARD", 4)
    tar = _emilia(tmp_path, 10)
    prepare_fake(tar, tmp_path / "whole")
    codec = FakeCodec()
    codec.encode, encode = None, codec.encode  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        prepare(tar, tmp_path / "out", codec=codec)
    codec.encode = encode  # type: ignore[method-assign]
    prepare(tar, tmp_path / "out", codec=codec)
    assert codec.num_encoded == 10
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole")
    assert prepare(tar, tmp_path / "out", codec=FakeCodec()).num_reused == 10
    assert Corpus.open(tmp_path / "out").info.speakers == ("DE_B00000_S00000",)


def test_text_files_and_keys_that_repeat_between_tars(tmp_path: Path) -> None:
    flac = _audio(tmp_path, ".flac")
    for tar in ("a", "b"):
        members = {"x/0001.flac": flac, "x/0001.txt": b"one", "x/0002.txt": b"two"}
        _write_tar(tmp_path / f"source/{tar}.tar", {**members, "x/0002.wav": flac})
    entries = open_source(tmp_path / "source")
    assert [entry.id for entry in entries if isinstance(entry, SourceClip)] == [
        "a/x/0001",
        "a/x/0002",
        "b/x/0001",
        "b/x/0002",
    ]


def test_what_is_wrong_in_a_tar_is_listed(tmp_path: Path) -> None:
    wav = _audio(tmp_path, ".wav")
    _write_tar(
        tmp_path / "source/a.tar",
        {
            "good.wav": wav,
            "good.txt": b"good",
            "mute.txt": b"text",
            "two.wav": wav,
            "two.flac": wav,
            "two.txt": b"text",
            "untold.wav": wav,
            "latin.wav": wav,
            "latin.txt": b"caf\xe9",
            "broken.wav": wav,
            "broken.json": b"{",
            "noise.wav": b"no audio",
            "noise.txt": b"text",
            "long.wav": wav,
            "long.txt": b"x" * (1 << 21),
        },
    )
    cut = _write_tar(tmp_path / "source/b.tar", {"a.txt": b"text", "a.wav": wav, "b.wav": wav})
    cut.write_bytes(cut.read_bytes()[: 1024 + 512 + 4096])
    _write_tar(tmp_path / "source/c.tar", {"a.wav": wav}, mode="w:gz")
    summary = prepare_fake(tmp_path / "source", tmp_path / "out")
    reasons = {rejection.source: rejection.reason for rejection in summary.rejections}
    assert summary.info.num_clips == 1
    assert reasons["a.tar/mute"] == "has 0 audio files"
    assert reasons["a.tar/two"] == "has 2 audio files"
    assert reasons["a.tar/untold.wav"] == "has no transcript"
    assert reasons["a.tar/latin.wav"] == "latin.txt is not UTF-8 (byte 3)"
    assert reasons["a.tar/broken.wav"].startswith("is no JSON")
    assert reasons["a.tar/noise.wav"].startswith("not readable as audio")
    assert reasons["a.tar/long.wav"] == f"long.txt has {1 << 21} bytes"
    assert reasons["b.tar"] == "is no whole uncompressed tar (unexpected end of data)"
    assert reasons["c.tar"].startswith("is no whole uncompressed tar (")
    assert len(reasons) == 9


def test_one_tar_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"text" * 1000)
    with pytest.raises(DataError, match=r"a\.tar: is no whole uncompressed tar") as caught:
        open_source(tmp_path / "a.tar")
    assert "\n" not in str(caught.value)


def test_other_bytes_in_the_tar_are_noticed(tmp_path: Path) -> None:
    _write_tar(tmp_path / "a.tar", {"a.wav": _audio(tmp_path, ".wav", 0.5), "a.txt": b"text"})
    prepare_fake(tmp_path / "a.tar", tmp_path / "out")
    _write_tar(tmp_path / "a.tar", {"a.wav": _audio(tmp_path, ".wav", 0.8), "a.txt": b"text"})
    assert prepare_fake(tmp_path / "a.tar", tmp_path / "out").num_reused == 0
    (clip,) = [e for e in open_source(tmp_path / "a.tar") if not isinstance(e, Rejection)]
    assert Corpus.open(tmp_path / "out").lengths.tolist() == [40]
    assert clip.id == "a/a"
