"""Guided attention: what it costs to look elsewhere."""

import pytest
import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus

from dialoom.data import Batch, Corpus, collate
from dialoom.data.batch import drop_text
from dialoom.model.attention import CrossAttention
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train.alignment import AlignmentGuide, attention_weights, off_diagonal
from dialoom.train.shares import silent
from dialoom.train.step import Objective, StepLoss, train_step


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    path = write_corpus(tmp_path_factory.mktemp("c") / "corpus", lengths=[40, 70])
    corpus = Corpus.open(path)
    return collate(
        [corpus[0], corpus[1]],
        layout=TokenLayout(),
        tags=TagTable.default(),
        frames_per_second=SPEC.frames_per_second,
    )


def test_diagonal_is_free_and_the_corners_cost_one(batch: Batch) -> None:
    penalty = off_diagonal(batch, max_delay=15)
    for row, num_frames in enumerate((40, 70)):
        num_bytes = int(batch.text_mask_BS[row].sum())
        assert penalty[row, 0, 0] == 0
        middle = penalty[row, num_frames // 2, num_bytes // 2]
        assert middle < 0.05
        assert penalty[row, 0, num_bytes - 1] > 0.99
        assert penalty[row, num_frames, 0] > 0.99


def test_padding_and_clips_without_text_cost_nothing(batch: Batch) -> None:
    penalty = off_diagonal(batch, max_delay=15)
    assert (penalty[0, ~batch.audio_mask_BT[0]] == 0).all()
    dropped = drop_text(batch, 1.0, torch.Generator().manual_seed(0))
    assert (off_diagonal(dropped, max_delay=15) == 0).all()


def test_penalty_is_that_of_the_models_own_attention(batch: Batch) -> None:
    """Uniform attention over the bytes, as with queries that are zero."""
    model = small_model()
    for module in model.modules():
        if isinstance(module, CrossAttention):
            torch.nn.init.zeros_(module.q_proj.weight)
    guide = AlignmentGuide(model, weight=2.0)
    with guide.watch(batch):
        model(batch.text_BS, batch.audio_BTC, batch.text_mask_BS)
    cost = off_diagonal(batch, max_delay=15) * batch.text_mask_BS[:, None]
    uniform = cost.sum(dim=-1) / batch.text_mask_BS.sum(dim=1)[:, None]
    assert guide.penalty().item() == pytest.approx(2.0 * uniform.sum().item(), rel=1e-4)


def test_weights_are_those_that_attention_uses() -> None:
    module = small_model().decoder.layers[0].cross_attention
    assert isinstance(module, CrossAttention)
    generator = torch.Generator().manual_seed(0)
    x, states = torch.randn(1, 5, 64, generator=generator), torch.randn(1, 7, 48)
    text = module.keys_values(states, None)
    weights = attention_weights(module, x, text, None, None)
    assert weights.shape == (1, 2, 5, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 5))


def test_guidance_draws_attention_to_the_diagonal(batch: Batch) -> None:
    model = small_model().train()
    guide = AlignmentGuide(model, weight=20.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    penalties = []
    for _ in range(25):
        train_step(model, [batch], optimizer, Objective(clip_norm=1.0, guide=guide))
        penalties.append(guide.penalty().item())
    assert penalties[-1] < 0.5 * penalties[0]


def test_silent_clips_are_not_guided(batch: Batch) -> None:
    """A rank whose micro-batches ran out repeats one of them: it must not nudge anything twice."""
    model = small_model().train()
    step_loss = StepLoss(model, Objective(clip_norm=1.0, guide=AlignmentGuide(model, weight=1.0)))
    loss, _ = step_loss(silent(batch))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_guide_leaves_no_hook_behind(batch: Batch) -> None:
    model = small_model()
    guide = AlignmentGuide(model, weight=1.0)
    with guide.watch(batch):
        pass
    assert not any(module._forward_pre_hooks for module in model.modules())
