"""Voices: kept in files, used by name, refused where they do not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_speech import fake_sentence
from helpers import small_model
from safetensors.numpy import load_file, save_file

from dialoom.audio import Waveform
from dialoom.checkpoint import ModelInfo
from dialoom.codec import Codes, load_codec
from dialoom.errors import CodecError, GenerationError
from dialoom.generate import (
    SamplingSettings,
    Synthesizer,
    Voice,
    VoicePrompt,
    load_voice,
    save_voice,
)
from dialoom.generate.voice import voice_names, voice_path

GREEDY = SamplingSettings(temperature=0, cfg_scale=0, max_seconds=0.1)
CLIP = fake_sentence(1, num_sounds=4)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIALOOM_VOICES", str(tmp_path / "voices"))
    return tmp_path / "voices"


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    codec = load_codec("mini")
    return Synthesizer(small_model(), ModelInfo(codec=codec.spec), codec)


@pytest.fixture(scope="module")
def voice(synthesizer: Synthesizer) -> Voice:
    made = synthesizer.voice(VoicePrompt(CLIP, "[S2] Ich bin Anna."))
    assert made is not None
    return made


def test_save_and_load_are_inverse(voice: Voice, directory: Path) -> None:
    full = replace(voice, language="de", settings=SamplingSettings(temperature=0.7, max_seconds=3))
    path = save_voice(full, "anna")
    assert path == directory / "anna.safetensors"
    for name in ("anna", str(path)):
        loaded = load_voice(name)
        np.testing.assert_array_equal(loaded.codes.frames, full.codes.frames)
        assert replace(loaded, codes=full.codes) == full
    assert voice_names() == ["anna"]
    assert list(directory.iterdir()) == [path]
    with pytest.raises(GenerationError, match="exists already"):
        save_voice(voice, "anna")


def test_a_voice_speaks_as_its_clip_does(synthesizer: Synthesizer, voice: Voice) -> None:
    clip = VoicePrompt(CLIP, "[S2] Ich bin Anna.")
    spoken = [
        synthesizer.synthesize(["[S1] Hi."], GREEDY, prompt=prompt)[0].codes.frames
        for prompt in (clip, voice, None)
    ]
    np.testing.assert_array_equal(spoken[0], spoken[1])
    assert not np.array_equal(spoken[0], spoken[2])


def test_text_without_a_speaker_is_the_voices_own(synthesizer: Synthesizer, voice: Voice) -> None:
    """And its language and settings count where nothing else is said."""
    kept = replace(voice, language="de", settings=GREEDY)
    spoken = [
        synthesizer.synthesize([text], settings, prompt=prompt, language=language)[0].codes.frames
        for text, settings, prompt, language in [
            ("Hallo.", None, kept, None),
            ("[S2] Hallo.", GREEDY, voice, "de"),
            ("[S1] Hallo.", GREEDY, voice, "de"),
        ]
    ]
    np.testing.assert_array_equal(spoken[0], spoken[1])
    assert not np.array_equal(spoken[0], spoken[2])


@pytest.mark.parametrize("text", ["", "  ", "[S1] "])
def test_a_prompt_without_transcript_is_refused(synthesizer: Synthesizer, text: str) -> None:
    with pytest.raises(GenerationError, match="needs its transcript"):
        synthesizer.speak("[S1] Hi.", GREEDY, prompt=VoicePrompt(CLIP, text))


def test_a_voice_of_another_codec_is_refused(synthesizer: Synthesizer, voice: Voice) -> None:
    other = replace(voice, codec=replace(voice.codec, name="other", content_hash="0" * 64))
    with pytest.raises(CodecError, match="made with codec 'other'"):
        synthesizer.speak("[S1] Hi.", GREEDY, prompt=other)


def test_a_voice_without_frames_is_refused(voice: Voice) -> None:
    with pytest.raises(GenerationError, match="no frames"):
        replace(voice, codes=Codes(np.zeros((0, 9), np.uint16)))


def test_unknown_voices_are_refused_with_those_there_are(voice: Voice) -> None:
    save_voice(voice, "anna")
    with pytest.raises(GenerationError, match="there are: anna"):
        load_voice("berta")
    with pytest.raises(GenerationError, match="a name is of letters"):
        voice_path("../secret")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "dialoom-voice-2"),
        ("text", " "),
        ("codec", "{}"),
        ("codec", "[]"),
        ("settings", '{"temperature": -1}'),
        ("settings", '{"colour": 1}'),
        ("language", "7"),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    voice: Voice, tmp_path: Path, key: str, value: str
) -> None:
    from safetensors import safe_open

    path = save_voice(voice, "anna")
    with safe_open(path, framework="numpy") as file:
        metadata = {**file.metadata(), key: value}
    save_file(load_file(path), tmp_path / "bad.safetensors", metadata)
    with pytest.raises(GenerationError) as caught:
        load_voice(str(tmp_path / "bad.safetensors"))
    assert "bad.safetensors is no voice, or damaged" in str(caught.value)


def test_damaged_files_are_one_line(voice: Voice, tmp_path: Path) -> None:
    content = save_voice(voice, "anna").read_bytes()
    path = tmp_path / "bad.safetensors"
    for damaged in (b"", b"nonsense", content[:-5]):
        path.write_bytes(damaged)
        with pytest.raises(GenerationError, match="no voice, or damaged"):
            load_voice(str(path))


def test_codes_beyond_the_codebook_are_refused(voice: Voice, tmp_path: Path) -> None:
    frames = voice.codes.frames.copy()
    frames[0, 0] = 1024
    save_voice(replace(voice, codes=Codes(frames)), str(tmp_path / "bad.safetensors"))
    with pytest.raises(GenerationError, match="id 1024"):
        load_voice(str(tmp_path / "bad.safetensors"))


def test_an_empty_clip_is_refused(synthesizer: Synthesizer) -> None:
    from dialoom.errors import AudioError

    with pytest.raises(AudioError):
        synthesizer.voice(VoicePrompt(Waveform(np.zeros(0, np.float32), 44_100), "[S1] x"))
