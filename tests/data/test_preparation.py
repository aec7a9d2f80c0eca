"""Preparing keeps what is good and lists what is not."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fake_audio import FakeCodec, tone, write_tone
from fake_source import prepare_fake, read_files, write_clip, write_source

from dialoom.audio import Waveform
from dialoom.codec import Codes
from dialoom.data import Corpus, PrepareOptions, UnknownTags, prepare
from dialoom.errors import DataError


def test_recordings_become_codes(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    codec = FakeCodec()
    options = PrepareOptions(loudness_lufs=None, edge_silence_s=None)
    summary = prepare(source, tmp_path / "out", options, codec=codec)
    corpus = Corpus.open(tmp_path / "out")
    assert summary.info == corpus.info
    assert (len(corpus), summary.rejections, summary.num_reused) == (5, (), 0)
    assert corpus[3].text == "[S1] some text"
    samples, rate = soundfile.read(source / "clip-03.wav", dtype="float32")
    expected = codec.encode(Waveform(samples, rate))
    np.testing.assert_array_equal(corpus[3].codes.frames, expected.frames)


def test_any_rate_and_any_channels(tmp_path: Path) -> None:
    samples = tone(1.0, sample_rate_hz=48_000).samples
    path = tmp_path / "source/stereo.wav"
    path.parent.mkdir()
    soundfile.write(path, np.stack([samples, samples], axis=1), 48_000)
    path.with_suffix(".txt").write_text("text")
    prepare_fake(tmp_path / "source", tmp_path / "out")
    assert Corpus.open(tmp_path / "out").lengths.tolist() == [50]


def test_bad_clips_are_listed_and_the_rest_is_kept(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=2)
    write_clip(source, "text").write_text("a text file named .wav")
    write_clip(source, "empty").write_bytes(b"")
    soundfile.write(write_clip(source, "silent"), np.zeros(1000, np.float32), 16_000)
    write_clip(source, "untold").with_suffix(".txt").unlink()
    write_clip(source, "wordy", text="x" * 1023)
    write_clip(source, "verbose", text="x" * 1022)
    write_clip(source, "control", text="beep \x07")
    write_tone(source / "endless.flac", 62.0).with_suffix(".txt").write_text("on and on")
    summary = prepare_fake(source, tmp_path / "out")
    assert summary.info.num_clips == 3
    reasons = {rejection.source: rejection.reason for rejection in summary.rejections}
    assert reasons == {
        "text.wav": "not readable as audio (Format not recognised)",
        "empty.wav": "the file is empty (0 bytes)",
        "silent.wav": "is silent (peak 0.0e+00, below 1e-03 of full scale)",
        "untold.wav": "has no transcript",
        "wordy.wav": "transcript has 1025 bytes, the model reads 1024",
        "control.wav": reasons["control.wav"],
        "endless.flac": "lasts 62.0 s, the model holds up to 61.1 s",
    }
    assert "control byte 7" in reasons["control.wav"]
    lines = (tmp_path / "out/rejected.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert len(listed) == summary.info.num_rejected == 7
    assert all(item["source"] and item["reason"] and item["remedy"] for item in listed)


def test_the_longest_clip_is_the_models() -> None:
    """3072 steps less BOS, EOS and the largest delay; 35.5 s of Dia's codec."""
    assert PrepareOptions().max_frames == 3072 - 15 - 2
    assert PrepareOptions(max_steps=100).max_frames == 83


@pytest.mark.parametrize(("num_frames", "num_clips"), [(10, 2), (11, 1)])
def test_a_clip_of_exactly_the_limit_fits(tmp_path: Path, num_frames: int, num_clips: int) -> None:
    source = write_source(tmp_path, number=1)
    write_clip(source, "limit", duration_s=num_frames * 0.02)
    options = PrepareOptions(max_steps=10 + 17)
    summary = prepare(source, tmp_path / "out", options, codec=FakeCodec())
    assert summary.info.num_clips == num_clips


def test_all_bad_is_an_error(tmp_path: Path) -> None:
    write_tone(tmp_path / "source/a.wav")
    with pytest.raises(
        DataError, match=r"none of 1 entries can be used.*a\.wav: has no tr"
    ) as caught:
        prepare_fake(tmp_path / "source", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "has no transcript" in (tmp_path / "out/rejected.jsonl").read_text()


def test_language_and_speaker_fill_what_the_source_leaves_open(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav")
    write_tone(tmp_path / "b.wav")
    (tmp_path / "t.csv").write_text("audio,text,language,speaker\na.wav,x,de,Anna\nb.wav,x,,\n")
    options = PrepareOptions(language="en", speaker="Bob")
    prepare(tmp_path / "t.csv", tmp_path / "out", options, codec=FakeCodec())
    corpus = Corpus.open(tmp_path / "out")
    assert [(corpus[i].language, corpus[i].speaker) for i in (0, 1)] == [
        ("de", "Anna"),
        ("en", "Bob"),
    ]
    assert corpus.info.languages == ("de", "en")


def test_tags_that_no_byte_stands_for_are_counted(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=2)
    write_clip(source, "known", text="[S1] Hello. [S2] [de] Hallo. [not a tag] [] [")
    write_clip(source, "third", text="[S3] Hello [anna], [S3].")
    write_clip(source, "anna", text="[S1] [anna] Hello.")
    for _ in range(2):
        summary = prepare_fake(source, tmp_path / "out")
        assert summary.unknown_tags == UnknownTags(2, ("[S3]", "[anna]"))
        assert summary.info.num_clips == 5


@pytest.mark.parametrize("workers", [1, 7])
def test_workers_do_not_change_the_corpus(tmp_path: Path, workers: int) -> None:
    source = write_source(tmp_path, number=20)
    prepare_fake(source, tmp_path / "two")
    prepare(source, tmp_path / "out", PrepareOptions(workers=workers), codec=FakeCodec())
    assert read_files(tmp_path / "out") == read_files(tmp_path / "two")


def test_no_workers_are_refused() -> None:
    with pytest.raises(DataError, match="workers 0: must be at least 1"):
        PrepareOptions(workers=0)


def test_progress_counts_entries_and_rejections(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=3)
    (source / "clip-01.wav").write_bytes(b"")
    heard: list[tuple[int, int, int]] = []
    prepare(
        source,
        tmp_path / "out",
        codec=FakeCodec(),
        progress=lambda done, total, rejected: heard.append((done, total, rejected)),
    )
    assert heard == [(1, 3, 0), (2, 3, 1), (3, 3, 1)]


def test_a_defect_of_the_codec_is_not_a_bad_clip(tmp_path: Path) -> None:
    class BrokenCodec(FakeCodec):
        def encode(self, waveform: Waveform) -> Codes:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        prepare_fake(write_source(tmp_path), tmp_path / "out", BrokenCodec())


class _WatchedCodec(FakeCodec):
    def __init__(self) -> None:
        super().__init__()
        self.threads: set[tuple[int, int]] = set()

    def encode(self, waveform: Waveform) -> Codes:
        self.threads.add((threading.get_ident(), torch.get_num_threads()))
        return super().encode(waveform)


def test_clips_are_encoded_beside_each_other_and_share_the_cores(tmp_path: Path) -> None:
    source = write_source(tmp_path, number=40)
    prepare_fake(source, tmp_path / "one-by-one")
    num_cores, codec = torch.get_num_threads(), _WatchedCodec()
    torch.set_num_threads(4)
    try:
        prepare(source, tmp_path / "two", PrepareOptions(workers=2), codec=codec)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(num_cores)
    assert (len(codec.threads), {cores for _, cores in codec.threads}, after) == (2, {2}, 4)
    assert read_files(tmp_path / "two") == read_files(tmp_path / "one-by-one")


def test_a_gpu_encodes_one_clip_at_a_time(tmp_path: Path) -> None:
    codec = _WatchedCodec()
    options = PrepareOptions(workers=2, device="cuda")
    prepare(write_source(tmp_path, number=8), tmp_path / "out", options, codec=codec)
    assert codec.threads == {(threading.get_ident(), torch.get_num_threads())}
