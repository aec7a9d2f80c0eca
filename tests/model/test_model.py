"""What the model computes does not depend on how it is asked."""

import math

import pytest
import torch
from helpers import small_config, small_model

from dialoom.model import DiaModel, Revision, initialize
from dialoom.model.attention import KeyValues
from dialoom.model.blocks import FeedForward
from dialoom.model.rope import rotary_table, rotate
from dialoom.sequence import cross_mask, decoder_self_mask, encoder_self_mask

REVISIONS = list(Revision)


def _inputs(seed: int, *, num_bytes: int = 13, num_steps: int = 24) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    text_BS = torch.randint(1, 256, (2, num_bytes), generator=generator)
    return text_BS, torch.randint(0, 1027, (2, num_steps, 9), generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("prefix", [1, 7])
def test_step_by_step_equals_all_at_once(revision: Revision, prefix: int) -> None:
    model = small_model(revision)
    text_BS, audio_BTC = _inputs(1)
    mask_BS = torch.arange(13)[None] < torch.tensor([13, 8])[:, None]
    whole = model(text_BS * mask_BS, audio_BTC, mask_BS)
    cache = model.decoder.new_cache(model.encoder(text_BS * mask_BS, mask_BS), mask_BS, 24)
    parts = [model.decoder.decode(audio_BTC[:, :prefix], cache)]
    parts += [model.decoder.decode(audio_BTC[:, t : t + 1], cache) for t in range(prefix, 24)]
    torch.testing.assert_close(model.head(torch.cat(parts, dim=1)), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("revision", REVISIONS)
def test_padding_changes_nothing_and_nothing_is_nan(revision: Revision) -> None:
    model = small_model(revision)
    text_BS, audio_BTC = _inputs(2)
    alone = model(text_BS[:1, :8], audio_BTC[:1, :10])
    mask_BS = torch.arange(13)[None] < torch.tensor([8, 13])[:, None]
    padded_audio = audio_BTC.clone()
    padded_audio[0, 10:] = 1025
    together = model(text_BS * mask_BS, padded_audio, mask_BS)
    torch.testing.assert_close(together[:1, :10], alone, rtol=1e-4, atol=1e-4)
    assert together.isfinite().all()


@torch.no_grad()
def test_revisions_differ_with_equal_names_and_shapes() -> None:
    """Weights of one revision load into the other without any error: only the revision tells."""
    june, april = small_model(Revision.JUNE_2025), small_model(Revision.APRIL_2025)
    april.load_state_dict(june.state_dict())
    text_BS, audio_BTC = _inputs(3)
    assert (june(text_BS, audio_BTC) - april(text_BS, audio_BTC)).abs().max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("revision", REVISIONS)
def test_cross_attention_rotates_in_april_alone(revision: Revision) -> None:
    """Softmax(q·k) with scale 1, q at the step's position and k at the byte's, or unrotated."""
    model = small_model(revision)
    attention = model.decoder.layers[0].cross_attention
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 64, generator=generator)
    states = torch.randn(1, 7, 48, generator=generator)
    q = attention.q_proj(x).view(1, 5, 3, 16).transpose(1, 2)
    k = attention.k_proj(states).view(1, 7, 3, 16).transpose(1, 2)
    v = attention.v_proj(states).view(1, 7, 3, 16).transpose(1, 2)
    rope_q = rope_k = None
    if revision is Revision.APRIL_2025:
        rope_q = rotary_table(torch.arange(5), 16, 1e4)
        rope_k = rotary_table(torch.arange(7), 16, 1e4)
        q, k = rotate(q, rope_q), rotate(k, rope_k)
    expected = ((q @ k.mT).softmax(-1) @ v).transpose(1, 2).reshape(1, 5, 48)
    text = attention.keys_values(states, rope_k)
    assert isinstance(text, KeyValues)
    actual = attention(x, text, None, rope_q)
    torch.testing.assert_close(actual, attention.o_proj(expected), rtol=1e-5, atol=1e-5)
    assert (model.decoder._text_context(states, None).rope_keys is not None) == (
        revision is Revision.APRIL_2025
    )


def test_causality_and_padding_are_the_dense_mask() -> None:
    """The model builds no mask for the decoder; `decoder_self_mask` says what it must amount to."""
    model = small_model()
    attention = model.decoder.layers[0].self_attention
    x = torch.randn(2, 9, 64, generator=torch.Generator().manual_seed(0))
    audio_mask = torch.arange(9)[None] < torch.tensor([9, 4])[:, None]
    rope = rotary_table(torch.arange(9), 24, 1e4)
    causal = attention(x, rope, None, is_causal=True)
    dense = attention(x, rope, decoder_self_mask(audio_mask))
    torch.testing.assert_close(causal[audio_mask], dense[audio_mask], rtol=1e-5, atol=1e-5)
    assert dense.isfinite().all()


def test_masks_pinned() -> None:
    text_mask = torch.tensor([[True, True, False]])
    assert encoder_self_mask(text_mask).tolist() == [[[[True, True, False]]]]
    assert cross_mask(text_mask).tolist() == [[[[True, True, False]]]]
    assert decoder_self_mask(text_mask)[0, 0].tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    no_row_is_empty = decoder_self_mask(torch.tensor([[False, False]]))
    assert no_row_is_empty.any(dim=-1).all()


def test_zero_text_states_do_not_depend_on_the_position() -> None:
    """So the unconditional branch equals cross-attention onto a single zero byte."""
    model = small_model()
    states = model.encoder(torch.zeros(1, 10, dtype=torch.long))
    torch.testing.assert_close(states[:, :1].expand_as(states), states, rtol=1e-5, atol=1e-5)


def test_new_model_guesses_and_depends_on_the_seed_alone() -> None:
    model, again, other = (DiaModel(small_config()) for _ in range(3))
    for each, seed in ((model, 1), (again, 1), (other, 2)):
        initialize(each, seed=seed)
    text_BS, audio_BTC = _inputs(4)
    with torch.no_grad():
        log_probabilities = model(text_BS, audio_BTC).log_softmax(-1)
    assert abs(-log_probabilities.mean().item() - math.log(1028)) < 0.1
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(model.logits_dense.weight, other.logits_dense.weight)


def test_initialization_draws_every_matrix() -> None:
    with torch.device("meta"):
        model = DiaModel(small_config())
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.fill_(torch.nan)
    initialize(model, seed=0)
    for name, parameter in model.named_parameters():
        assert parameter.ndim == 1 or parameter.isfinite().all(), name


def test_initialization_scales_with_depth_and_makes_up_for_the_scale_of_attention() -> None:
    """A 1.5 B Dia with plain Xavier weights diverged: what adds to the residual starts smaller."""
    model = DiaModel(small_config())
    initialize(model, seed=0)
    layer = model.decoder.layers[0]
    expected = {
        "self_attention.q_proj": 64**-0.5 * 24**-0.25,
        "self_attention.k_proj": 64**-0.5 * 24**-0.25,
        "self_attention.v_proj": 64**-0.5,
        "self_attention.o_proj": 96**-0.5 / 6**0.5,
        "cross_attention.o_proj": 48**-0.5 / 6**0.5,
        "mlp.gate_up_proj": 64**-0.5,
        "mlp.down_proj": 128**-0.5 / 6**0.5,
    }
    for name, std in expected.items():
        assert layer.get_submodule(name).weight.std().item() == pytest.approx(std, rel=0.1), name


def test_projections_put_together_are_the_projections() -> None:
    """An adapter in the place of one matrix must be heard, so then each computes itself."""
    attention = small_model().decoder.layers[0].self_attention
    x = torch.randn(2, 9, 64, generator=torch.Generator().manual_seed(0))
    rope = rotary_table(torch.arange(9), 24, 1e4)
    q, keys_values = attention.queries(x, rope), attention.keys_values(x, rope)
    expected = attention.attend(q, keys_values, is_causal=True)
    torch.testing.assert_close(attention(x, rope, None, is_causal=True), expected)
    attention.k_proj = torch.nn.Sequential(attention.k_proj, torch.nn.Tanh())
    adapted = attention(x, rope, None, is_causal=True)
    assert (adapted - expected).abs().max() > 1e-3
    assert not torch.equal(attention.keys_values(x, rope).keys, keys_values.keys)


def test_feed_forward_is_swiglu_and_its_gradient_too() -> None:
    """The gradient is written by hand; autograd knows what it must be."""
    feed_forward = FeedForward(16, 24)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    results = []
    for by_hand in (True, False):
        ours = x.clone().requires_grad_()
        if by_hand:
            out = feed_forward(ours)
        else:
            gate, up = feed_forward.gate_up_proj(ours).chunk(2, dim=-1)
            out = feed_forward.down_proj(torch.nn.functional.silu(gate) * up)
        weight = feed_forward.gate_up_proj.weight
        results.append((out, *torch.autograd.grad(out.square().sum(), (ours, weight))))
    assert torch.equal(results[0][0], results[1][0])
    for actual, expected in zip(*(result[1:] for result in results), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
