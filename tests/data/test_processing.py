"""One clip on its way to the codec, and what the corpus records of that."""

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_audio import FAKE_SPEC, FakeCodec, tone
from fake_source import prepare_fake, read_files, write_source
from fake_speech import fake_sentence

from dialoom.audio import Waveform, loudness_lufs
from dialoom.data import AudioRef, PrepareOptions, Rejection, SourceClip, prepare
from dialoom.data.processing import UNPROCESSED, ProcessedClip, Processing, process_clip
from dialoom.errors import DataError


def _clip(tmp_path: Path, waveform: Waveform, text: str = "text") -> SourceClip:
    path = tmp_path / "a.wav"
    soundfile.write(path, waveform.samples, waveform.sample_rate_hz, subtype="FLOAT")
    return SourceClip("a", text, AudioRef(path), None, None, "a.wav")


def _process(clip: SourceClip, processing: Processing | None = None) -> ProcessedClip:
    processed = process_clip(clip, FAKE_SPEC, processing or Processing())
    assert isinstance(processed, ProcessedClip)
    return processed


def _refuse(clip: SourceClip, processing: Processing | None = None) -> Rejection:
    refused = process_clip(clip, FAKE_SPEC, processing or Processing())
    assert isinstance(refused, Rejection)
    assert refused.remedy
    return refused


def _in_silence(speech: Waveform, silence_s: float) -> Waveform:
    size = round(silence_s * speech.sample_rate_hz)
    return Waveform(np.pad(speech.samples, size), speech.sample_rate_hz)


def test_loud_or_quiet_it_is_heard_alike_and_starts_at_once(tmp_path: Path) -> None:
    speech = fake_sentence(1)
    for gain in (0.1, 2.0):
        scaled = Waveform(speech.samples * np.float32(gain), speech.sample_rate_hz)
        waveform = _process(_clip(tmp_path, _in_silence(scaled, 1.0))).waveform
        assert loudness_lufs(waveform) == pytest.approx(-20.0, abs=0.01)
        assert waveform.duration_s == pytest.approx(speech.duration_s + 0.4, abs=0.041)


def test_both_may_be_off(tmp_path: Path) -> None:
    padded = _in_silence(fake_sentence(1), 1.0)
    processed = _process(_clip(tmp_path, padded), UNPROCESSED)
    np.testing.assert_array_equal(processed.waveform.samples, padded.samples)


def test_silence_is_cut_before_the_model_s_limit_is_asked(tmp_path: Path) -> None:
    clip = _clip(tmp_path, _in_silence(fake_sentence(1), 1.0))
    limits = replace(Processing(), max_frames=80)
    assert _process(clip, limits).waveform.duration_s < 1.6
    refused = _refuse(clip, replace(limits, edge_silence_s=None))
    assert refused.reason == "lasts 3.0 s, the model holds up to 1.6 s"


def test_text_is_brought_into_its_form(tmp_path: Path) -> None:
    clip = _clip(tmp_path, tone(0.5), text=unicodedata.normalize("NFD", "[S1]  Öl \n é"))
    assert _process(clip).clip.text == "[S1] Öl é"


def test_too_short_is_refused(tmp_path: Path) -> None:
    assert _refuse(_clip(tmp_path, tone(0.09))).reason == "lasts 90.0 ms, less than 100"
    one = Waveform(np.ones(1, np.float32), 16_000)
    assert _refuse(_clip(tmp_path, one)).reason == "lasts 0.1 ms, less than 100"


@pytest.mark.parametrize("field", ["id", "language", "speaker"])
def test_names_that_no_file_can_hold_are_refused(tmp_path: Path, field: str) -> None:
    clip = replace(_clip(tmp_path, tone(0.5)), **{field: "a\ud800"})
    assert _refuse(clip).reason == f"its {field} holds half a surrogate pair"


def test_a_long_recording_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = _clip(tmp_path, tone(250.0, sample_rate_hz=8000))
    read: list[int] = []
    original = soundfile.SoundFile.read

    def spy(self: soundfile.SoundFile, frames: int = -1, **kwargs: object) -> object:
        read.append(frames)
        return original(self, frames, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    assert _refuse(clip).reason == "lasts 250.0 s, at most 244.4 s are read"
    assert read == []


@pytest.mark.parametrize("value", [-61.0, -4.0, float("nan")])
def test_a_loudness_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"loudness .* LUFS: must be -60 to -5"):
        PrepareOptions(loudness_lufs=value)


def test_a_silence_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="edge silence -1 s: must be 0 to 10 seconds, or off"):
        PrepareOptions(edge_silence_s=-1.0)


def test_the_corpus_says_what_was_done(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    prepare_fake(source, tmp_path / "out")
    written = json.loads((tmp_path / "out/corpus.json").read_text())
    expected = {
        "loudness": "-20 LUFS (ITU-R BS.1770)",
        "edge_silence_s": 0.2,
        "resampler": "soxr HQ",
        "text": "Unicode NFC, white space collapsed",
        "max_text_bytes": 1024,
        "max_frames": 3055,
    }
    assert {name: written[name] for name in expected} == expected
    options = PrepareOptions(loudness_lufs=None, edge_silence_s=None)
    info = prepare(source, tmp_path / "plain", options, codec=FakeCodec()).info
    assert (info.loudness, info.edge_silence_s) == (None, None)


class _StoppedCodec(FakeCodec):
    def encode(self, waveform: Waveform) -> object:  # type: ignore[override]
        if self.num_encoded == 2:
            raise KeyboardInterrupt
        return super().encode(waveform)


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_and_what_is_there_stays(tmp_path: Path, finished: bool) -> None:
    source = write_source(tmp_path)
    if finished:
        prepare_fake(source, tmp_path / "out")
    else:
        with pytest.raises(KeyboardInterrupt):
            prepare_fake(source, tmp_path / "out", _StoppedCodec())
    before = read_files(tmp_path / "out")
    options = PrepareOptions(loudness_lufs=-23.0, edge_silence_s=None)
    with pytest.raises(
        DataError,
        match=r"with loudness_lufs -20, not -23, edge_silence_s 0\.2, not off; use the same",
    ):
        prepare(source, tmp_path / "out", options, codec=FakeCodec())
    assert read_files(tmp_path / "out") == before
