"""Our logits are transformers' logits."""

import pytest
import torch
from helpers import small_model
from transformers import DiaConfig as TransformersConfig
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint.transformers_config import to_transformers_config
from dialoom.model import DiaModel


@pytest.fixture(scope="module")
def pair() -> tuple[DiaModel, DiaForConditionalGeneration]:
    ours = small_model()
    theirs = DiaForConditionalGeneration(
        TransformersConfig.from_dict(to_transformers_config(ours.config))
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def _relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _their_logits(
    model: DiaForConditionalGeneration,
    text_BS: torch.Tensor,
    text_mask_BS: torch.Tensor,
    audio_BTC: torch.Tensor,
    audio_mask_BT: torch.Tensor,
) -> torch.Tensor:
    logits = model(
        input_ids=text_BS,
        attention_mask=text_mask_BS.long(),
        decoder_input_ids=audio_BTC,
        decoder_attention_mask=audio_mask_BT.long(),
    ).logits
    return logits.unflatten(0, (text_BS.shape[0], -1)).transpose(1, 2)


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 3])
def test_logits_without_padding(
    pair: tuple[DiaModel, DiaForConditionalGeneration], batch_size: int
) -> None:
    ours, theirs = pair
    generator = torch.Generator().manual_seed(1)
    text_BS = torch.randint(1, 256, (batch_size, 21), generator=generator)
    audio_BTC = torch.randint(0, 1027, (batch_size, 40, 9), generator=generator)
    expected = _their_logits(
        theirs, text_BS, torch.ones_like(text_BS), audio_BTC, torch.ones_like(audio_BTC[..., 0])
    )
    assert _relative_error(ours(text_BS, audio_BTC), expected) < 1e-5


@torch.no_grad()
def test_logits_of_padded_batch_at_real_steps(
    pair: tuple[DiaModel, DiaForConditionalGeneration],
) -> None:
    ours, theirs = pair
    generator = torch.Generator().manual_seed(2)
    text_BS = torch.randint(1, 256, (3, 30), generator=generator)
    audio_BTC = torch.randint(0, 1027, (3, 50, 9), generator=generator)
    text_mask_BS = torch.arange(30)[None] < torch.tensor([30, 7, 19])[:, None]
    audio_mask_BT = torch.arange(50)[None] < torch.tensor([23, 50, 41])[:, None]
    text_BS = text_BS * text_mask_BS
    expected = _their_logits(theirs, text_BS, text_mask_BS, audio_BTC, audio_mask_BT)
    actual = ours(text_BS, audio_BTC, text_mask_BS)
    assert _relative_error(actual[audio_mask_BT], expected[audio_mask_BT]) < 1e-5
    assert actual.isfinite().all()


@torch.no_grad()
def test_their_left_padded_audio_gives_our_logits(
    pair: tuple[DiaModel, DiaForConditionalGeneration],
) -> None:
    """DiaProcessor pads audio on the left; RoPE is relative, so only what is real matters."""
    ours, theirs = pair
    generator = torch.Generator().manual_seed(3)
    text_BS = torch.randint(1, 256, (1, 11), generator=generator)
    audio_BTC = torch.randint(0, 1027, (1, 25, 9), generator=generator)
    padded = torch.cat((torch.full((1, 6, 9), 1026), audio_BTC), dim=1)
    mask_BT = torch.arange(31)[None] >= 6
    expected = _their_logits(theirs, text_BS, torch.ones_like(text_BS), padded, mask_BT)
    assert _relative_error(ours(text_BS, audio_BTC), expected[:, 6:]) < 1e-5


def test_state_dict_names_and_shapes_are_transformers(
    pair: tuple[DiaModel, DiaForConditionalGeneration],
) -> None:
    ours, theirs = pair
    assert {name: t.shape for name, t in ours.state_dict().items()} == {
        name: t.shape for name, t in theirs.state_dict().items()
    }


def test_dia_1_6b_has_the_parameters_of_dia_1_6b() -> None:
    from dialoom.model import PRESETS

    with torch.device("meta"):
        ours = DiaModel(PRESETS["dia-1.6b"])
        theirs = DiaForConditionalGeneration(TransformersConfig())
    assert {name: t.shape for name, t in ours.state_dict().items()} == {
        name: t.shape for name, t in theirs.state_dict().items()
    }
    assert 1.6e9 < ours.num_parameters < 1.7e9
