"""Whisper writes down words, their times and how sure it is; here one with random weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_audio import tone
from tiny_whisper import NUM_TEXT_TOKENS, save_tiny_whisper
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from dialoom.audio import Waveform
from dialoom.audio.transcribe import Transcriber, WhisperTranscriber, Word
from dialoom.errors import AudioError, MissingExtra

# transformers 5.23 hands a tensor to numpy where it aligns tokens with time.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

PROMPT = ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def _sounds() -> list[Waveform]:
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000).astype(np.float32)
    return [tone(2.0), Waveform(noise, 16_000)]


def test_transcripts_are_those_of_the_model(whisper: Path) -> None:
    transcriber = WhisperTranscriber(str(whisper))
    assert isinstance(transcriber, Transcriber)
    transcripts = transcriber.transcribe(_sounds(), "de")
    model = WhisperForConditionalGeneration.from_pretrained(whisper)
    processor = WhisperProcessor.from_pretrained(whisper)
    for sound, transcript in zip(_sounds(), transcripts, strict=True):
        features = processor.feature_extractor(
            sound.samples, sampling_rate=16_000, return_tensors="pt"
        ).input_features
        tokens = model.generate(features, language="de", task="transcribe")
        text = processor.tokenizer.decode(tokens[0], skip_special_tokens=True)
        assert transcript.text == text.strip() != ""
        prompt = processor.tokenizer.convert_tokens_to_ids(PROMPT)
        read = torch.tensor([prompt + tokens[0].tolist()])
        with torch.no_grad():
            logits = model(features, decoder_input_ids=read[:, :-1]).logits[0, len(prompt) - 1 :]
        logits[:, model.generation_config.suppress_tokens] = -torch.inf
        likely = logits.softmax(-1).gather(-1, tokens[0, :, None])[:, 0]
        is_text = tokens[0] < NUM_TEXT_TOKENS
        assert transcript.confidence == pytest.approx(float(likely[is_text].mean()), rel=1e-3)


def test_words_come_in_order_and_make_the_text(whisper: Path) -> None:
    for sound, transcript in zip(
        _sounds(), WhisperTranscriber(str(whisper)).transcribe(_sounds(), None), strict=True
    ):
        assert " ".join(word.text for word in transcript.words) == " ".join(transcript.text.split())
        times = [time for word in transcript.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= sound.duration_s + 0.05


def test_bytes_of_a_character_and_letters_of_a_word_are_put_together(whisper: Path) -> None:
    transcriber = WhisperTranscriber(str(whisper))
    tokens = list(" für dich".encode())
    times_s = [0.1 * i for i in range(len(tokens))]
    assert transcriber._words(tokens, range(len(tokens)), times_s) == (
        Word("für", 0.0, times_s[5]),
        Word("dich", times_s[5], times_s[9]),
    )


def test_a_model_without_alignment_heads_tells_no_times(tmp_path: Path) -> None:
    transcriber = WhisperTranscriber(str(save_tiny_whisper(tmp_path, tells_times=False)))
    (first, _) = transcriber.transcribe(_sounds(), "en")
    assert first.text and first.words == ()


def test_an_unknown_language_is_refused(whisper: Path) -> None:
    with pytest.raises(AudioError, match=r"does not know the language 'xx'; choose one of de, en"):
        WhisperTranscriber(str(whisper)).transcribe(_sounds(), "xx")


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AudioError, match=r"cannot be loaded .*; name a Whisper") as caught:
        WhisperTranscriber(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_named(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"transcribing needs accelerate; run: pip install"):
        WhisperTranscriber(str(whisper))
