"""Silero's detector finds the pauses between sentences."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fake_speech import fake_sentence

from dialoom.audio import Segment, Waveform, read_audio, read_mono, resample
from dialoom.audio.speech import SPEECH_RATE_HZ, SileroDetector, SpeechDetector
from dialoom.errors import MissingExtra

TOLERANCE_S = 0.25
PAUSE_S = 1.5


def test_speech_is_found_between_pauses() -> None:
    silence = np.zeros(round(PAUSE_S * SPEECH_RATE_HZ), np.float32)
    parts, known, at_s = [silence], [], PAUSE_S
    for seed in range(3):
        sentence = fake_sentence(seed, num_sounds=25)
        known.append(Segment(at_s, at_s + sentence.duration_s))
        parts += [sentence.samples, silence]
        at_s += sentence.duration_s + PAUSE_S
    detector = SileroDetector()
    assert isinstance(detector, SpeechDetector)
    found = detector.find(Waveform(np.concatenate(parts), SPEECH_RATE_HZ))
    assert found == detector.find(Waveform(np.concatenate(parts), SPEECH_RATE_HZ))
    for sentence in known:
        assert sentence.end_s is not None
        inside = [s for s in found if sentence.start_s - TOLERANCE_S < s.start_s < sentence.end_s]
        assert inside[0].start_s == pytest.approx(sentence.start_s, abs=TOLERANCE_S)
        assert inside[-1].end_s == pytest.approx(sentence.end_s, abs=TOLERANCE_S)
        found = [s for s in found if s not in inside]
    assert found == [], "nothing is speech in the pauses"


def test_it_leaves_the_threads_of_torch_alone() -> None:
    sys.modules.pop("silero_vad", None)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        SileroDetector()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(MissingExtra) as caught:
        SileroDetector()
    assert str(caught.value) == (
        "finding pauses in recordings needs silero-vad; run: pip install 'dialoom[vad]'"
    )


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_long_recording_is_read_in_blocks_as_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: int
) -> None:
    monkeypatch.setattr("dialoom.audio.mono.BLOCK_S", 1)
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (round(3.7 * rate_hz), 2))
    soundfile.write(tmp_path / "a.wav", stereo.astype(np.float32), rate_hz, subtype="FLOAT")
    whole = resample(read_audio(tmp_path / "a.wav"), 16_000)
    blocks = read_mono(tmp_path / "a.wav", tmp_path / "a.wav", 16_000)
    assert abs(blocks.num_samples - whole.num_samples) <= 1
    shorter = min(blocks.num_samples, whole.num_samples)
    np.testing.assert_allclose(blocks.samples[:shorter], whole.samples[:shorter], atol=1e-4)
