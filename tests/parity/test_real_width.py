"""Parity with transformers at Dia's real width, and in bfloat16."""

from dataclasses import replace

import pytest
import torch
from helpers import small_model
from transformers import DiaConfig as TransformersConfig
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint.transformers_config import to_transformers_config
from dialoom.model import PRESETS, DiaModel, initialize


def _theirs(ours: DiaModel) -> DiaForConditionalGeneration:
    config = TransformersConfig.from_dict(to_transformers_config(ours.config))
    with torch.device("meta"):
        theirs = DiaForConditionalGeneration(config)
    theirs.load_state_dict(ours.state_dict(), assign=True)
    for module in theirs.modules():  # buffers that no checkpoint holds
        if hasattr(module, "inv_freq"):
            module.__init__(module.config)
        if hasattr(module, "offsets"):
            module.offsets = ours.decoder.embeddings.offsets
    return theirs.eval()


def _pair_of_logits(ours: DiaModel, *, padded: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """At the real steps of a batch whose texts and clips differ in length, or do not."""
    generator = torch.Generator().manual_seed(2)
    text_BS = torch.randint(1, 256, (2, 17), generator=generator)
    audio_BTC = torch.randint(0, 1027, (2, 24, 9), generator=generator)
    lengths = ([17, 6], [11, 24]) if padded else ([17, 17], [24, 24])
    text_mask_BS = torch.arange(17)[None] < torch.tensor(lengths[0])[:, None]
    audio_mask_BT = torch.arange(24)[None] < torch.tensor(lengths[1])[:, None]
    text_BS = text_BS * text_mask_BS
    expected = _theirs(ours)(
        input_ids=text_BS,
        attention_mask=text_mask_BS.long(),
        decoder_input_ids=audio_BTC,
        decoder_attention_mask=audio_mask_BT.long(),
    ).logits
    expected_BTCV = expected.unflatten(0, (2, -1)).transpose(1, 2)
    actual_BTCV = ours(text_BS, audio_BTC, text_mask_BS if padded else None)
    return actual_BTCV[audio_mask_BT].float(), expected_BTCV[audio_mask_BT].float()


@torch.no_grad()
@pytest.mark.memory
def test_two_layers_of_the_real_width() -> None:
    """1 GB of weights, shared by both models."""
    full = PRESETS["dia-1.6b"]
    config = replace(
        full,
        encoder=replace(full.encoder, num_hidden_layers=2),
        decoder=replace(full.decoder, num_hidden_layers=2),
    )
    ours = DiaModel(config).eval()
    initialize(ours, seed=0)
    for padded in (True, False):
        actual, expected = _pair_of_logits(ours, padded=padded)
        assert (actual - expected).abs().max() / expected.abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("padded", [True, False])
def test_bfloat16_within_its_resolution(padded: bool) -> None:
    """Both round at other places; neither may be farther from float32 than bf16's 2^-8 explains."""
    exact, _ = _pair_of_logits(small_model(), padded=padded)
    actual, expected = _pair_of_logits(small_model().bfloat16(), padded=padded)
    scale = exact.abs().max()
    ours, theirs = (actual - exact).abs().max() / scale, (expected - exact).abs().max() / scale
    assert ours < 2**-5
    assert ours < 1.5 * theirs
    assert (actual - expected).abs().max() / scale < 2**-5
