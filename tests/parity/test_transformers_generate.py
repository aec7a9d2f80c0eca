"""Greedy codes are those of transformers' generate, guidance, EOS and voice prompt included."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import small_model
from transformers import DiaConfig as TransformersConfig
from transformers import DiaForConditionalGeneration, DiaTokenizer

from dialoom.audio import read_audio
from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.checkpoint.transformers_config import to_transformers_config
from dialoom.cli.main import main
from dialoom.codec import load_codec
from dialoom.generate.decode import Request, generate_codes
from dialoom.generate.settings import SamplingSettings
from dialoom.model import DiaModel
from dialoom.sequence import delay_codes, undelay_codes
from dialoom.text import TagTable

TEXTS = [
    "[S1] Hello.",
    "[S1] How are you? [S2] Fine, thanks! (laughs)",
    "[S1] Grüß Gott, schöne Füße.",
    "[S2] one",
    "[S1] A rather longer sentence, so that the batch has something to pad. [S2] Yes.",
]
MAX_STEPS = 300
"""Theirs forces EOS on channel 0 at step MAX_STEPS - 1: behind MAX_STEPS - 2 frames."""

GREEDY = SamplingSettings(temperature=0, cfg_scale=3.0, top_k=45)


def _theirs(ours: DiaModel) -> DiaForConditionalGeneration:
    theirs = DiaForConditionalGeneration(
        TransformersConfig.from_dict(to_transformers_config(ours.config))
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    return theirs


def _model(eos_gain: float) -> DiaModel:
    """Small random weights; the larger the gain, the sooner channel 0 says EOS."""
    ours = small_model(seed=1)
    with torch.no_grad():
        ours.logits_dense.weight[1024].mul_(eos_gain)
    return ours


def _their_codes(ours: DiaModel, text: str, prompt: torch.Tensor | None) -> torch.Tensor:
    layout = ours.config.layout
    encoded = DiaTokenizer()(text, return_tensors="pt", add_special_tokens=False)
    codes = torch.empty(0, 9, dtype=torch.long) if prompt is None else prompt
    delayed_BTC = delay_codes(codes, layout, complete=False)[None]
    sequences = _theirs(ours).generate(
        input_ids=encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        decoder_input_ids=delayed_BTC,
        decoder_attention_mask=torch.ones_like(delayed_BTC[..., 0]),
        do_sample=False,
        guidance_scale=3.0,
        top_k=45,
        max_length=MAX_STEPS,
    )
    return undelay_codes(sequences[0], layout)[codes.shape[0] :]


@pytest.mark.parametrize("text", TEXTS)
def test_greedy_codes_with_guidance_and_their_own_end(text: str) -> None:
    ours = _model(eos_gain=2.5)
    expected = _their_codes(ours, text, None)
    request = Request(TagTable.default().encode(text))
    actual = generate_codes(ours, [request], GREEDY, max_frames=MAX_STEPS - 2)[0]
    assert actual.stopped
    assert 0 < actual.codes.shape[0] < MAX_STEPS - 2
    assert torch.equal(actual.codes, expected)


@pytest.mark.parametrize("text", TEXTS)
def test_greedy_codes_with_forced_end(text: str) -> None:
    """EOS on channel 0 at the last of 300 steps, behind it on the others."""
    ours = _model(eos_gain=0.0)
    expected = _their_codes(ours, text, None)
    request = Request(TagTable.default().encode(text))
    actual = generate_codes(ours, [request], GREEDY, max_frames=MAX_STEPS - 2)[0]
    assert not actual.stopped
    assert actual.codes.shape[0] == MAX_STEPS - 2
    assert torch.equal(actual.codes, expected)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_greedy_codes_of_a_batch(batch_size: int) -> None:
    """Rows of unlike texts, some with one text in common; they end at steps of their own."""
    ours = _model(eos_gain=2.5)
    texts = [TEXTS[row % len(TEXTS)] for row in range(batch_size)]
    requests = [Request(TagTable.default().encode(text)) for text in texts]
    expected = {text: _their_codes(ours, text, None) for text in set(texts)}
    results = generate_codes(ours, requests, GREEDY, max_frames=MAX_STEPS - 2)
    for text, result in zip(texts, results, strict=True):
        assert result.stopped
        assert torch.equal(result.codes, expected[text])


def test_greedy_codes_with_voice_prompt_and_forced_end() -> None:
    ours = _model(eos_gain=0.0)
    prompt = torch.randint(0, 1024, (30, 9), generator=torch.Generator().manual_seed(5))
    text = "[S1] The prompt says this. [S1] And the model goes on."
    expected = _their_codes(ours, text, prompt)
    request = Request(TagTable.default().encode(text), prompt=prompt)
    actual = generate_codes(ours, [request], GREEDY, max_frames=MAX_STEPS - 2 - 30)[0]
    assert not actual.stopped
    assert actual.codes.shape[0] == MAX_STEPS - 2 - 30
    assert torch.equal(actual.codes, expected)


@pytest.fixture
def speak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., torch.Tensor]:
    """What `dialoom speak` says, as codes."""
    monkeypatch.chdir(tmp_path)

    def run(model: DiaModel, text: str, *options: str, num_frames: int) -> torch.Tensor:
        spec = load_codec("mini").spec
        save_pretrained(model, ModelInfo(codec=spec), Path("model"))
        arguments = ["model", text, "--temperature", "0", "--cfg-scale", "3", "--top-k", "45"]
        arguments += ["--max-seconds", str(num_frames / spec.frames_per_second)]
        arguments += ["--save-codes", "codes.npy", *options]
        monkeypatch.setattr(sys, "argv", ["dialoom", "speak", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert not caught.value.code
        return torch.from_numpy(np.load("codes.npy"))

    return run


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("eos_gain", [2.5, 0.0], ids=["own end", "forced end"])
def test_the_command_says_what_transformers_says(
    speak: Callable[..., torch.Tensor], eos_gain: float, text: str
) -> None:
    ours = _model(eos_gain)
    actual = speak(ours, text, num_frames=MAX_STEPS - 2)
    assert (actual.shape[0] == MAX_STEPS - 2) == (eos_gain == 0.0)
    assert torch.equal(actual, _their_codes(ours, text, None))


def test_the_command_with_a_voice_prompt(speak: Callable[..., torch.Tensor]) -> None:
    ours, codec = _model(eos_gain=0.0), load_codec("mini")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * codec.spec.hop_length)
    soundfile.write("prompt.wav", noise, codec.spec.sample_rate_hz)
    prompt = torch.from_numpy(codec.encode(read_audio(Path("prompt.wav"))).frames.astype(np.int64))
    assert prompt.shape == (30, 9)
    said, text = "[S1] The prompt says this.", "[S1] And the model goes on."
    actual = speak(
        ours, text, "--prompt", "prompt.wav", "--prompt-text", said,
        num_frames=MAX_STEPS - 2 - 30,
    )  # fmt: skip
    joined = "[S1] The prompt says this. And the model goes on."  # one speaker's tag stands once
    assert torch.equal(actual, _their_codes(ours, joined, prompt))
