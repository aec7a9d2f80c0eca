"""The loss: per channel, summed, divided once."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch

from dialoom.loss import (
    ROWS_PER_CHUNK,
    LossSums,
    channel_loss,
    cross_entropy_gradient,
    head_loss,
)
from dialoom.sequence import IGNORE_INDEX

EOS = 1024


def _logits_and_targets(batch: int = 2, steps: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, steps, 3, 1028, generator=generator) * 2
    return logits, torch.randint(0, 1024, (batch, steps, 3), generator=generator)


def test_sums_are_those_of_each_channel() -> None:
    logits, targets = _logits_and_targets()
    targets[0, 4:, 1] = IGNORE_INDEX
    targets[1, 5] = EOS
    sums = channel_loss(logits, targets, eos_id=EOS)
    log_p = logits.log_softmax(-1)
    for channel in range(3):
        valid = targets[..., channel] != IGNORE_INDEX
        chosen = log_p[:, :, channel][valid].gather(-1, targets[..., channel][valid][:, None])
        assert sums.channel_losses_C[channel].item() == pytest.approx(-chosen.sum().item(), 1e-5)
        assert sums.channel_targets_C[channel] == valid.sum()
    assert sums.weighted.item() == pytest.approx(sums.channel_losses_C.sum().item())
    assert sums.eos_targets_C.tolist() == [1, 1, 1]
    assert sums.eos_loss.item() == pytest.approx(-log_p[1, 5, :, EOS].sum().item(), 1e-5)


def test_ends_are_counted_for_each_channel() -> None:
    logits, targets = _logits_and_targets()
    targets[0, 5, :2], targets[1, 5, :] = EOS, EOS
    logits[0, 5, 0, EOS] = logits[1, 5, 0, EOS] = logits[1, 5, 2, EOS] = 99.0
    logits[0, 5, 1, EOS] = logits[1, 5, 1, EOS] = -99.0
    sums = channel_loss(logits, targets, eos_id=EOS)
    assert sums.eos_targets_C.tolist() == [2, 2, 1]
    assert sums.eos_correct_C.tolist() == [2, 0, 1]


def test_guessing_costs_ln_v() -> None:
    _, targets = _logits_and_targets()
    sums = channel_loss(torch.zeros(2, 6, 3, 1028), targets, eos_id=EOS)
    assert (sums.channel_losses_C / sums.channel_targets_C).tolist() == pytest.approx(
        [math.log(1028)] * 3
    )


def test_code_zero_and_eos_count_bos_and_pad_do_not() -> None:
    """Existing trainers leave EOS or code 0 out, so the model never stops, or BOS and PAD in."""
    logits = torch.zeros(1, 3, 1, 1028)
    targets = torch.tensor([[[0], [EOS], [IGNORE_INDEX]]])
    sums = channel_loss(logits, targets, eos_id=EOS)
    assert sums.channel_targets_C.tolist() == [2]
    assert sums.channel_losses_C.item() == pytest.approx(2 * math.log(1028))


def test_weights_scale_the_gradient_and_leave_the_log_raw() -> None:
    logits, targets = _logits_and_targets()
    plain = channel_loss(logits, targets, eos_id=EOS)
    weights = torch.tensor([4.0, 1.0, 0.0])
    weighted = channel_loss(logits, targets, eos_id=EOS, channel_weights=weights)
    assert torch.equal(plain.channel_losses_C, weighted.channel_losses_C)
    assert weighted.weighted.item() == pytest.approx((plain.channel_losses_C @ weights).item())


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    logits, targets = _logits_and_targets(batch=4)
    whole = channel_loss(logits, targets, eos_id=EOS)
    parts = channel_loss(logits[:1], targets[:1], eos_id=EOS) + channel_loss(
        logits[1:], targets[1:], eos_id=EOS
    )
    torch.testing.assert_close(vars(parts), vars(whole))


def test_accuracy_counts_hits() -> None:
    logits, targets = _logits_and_targets()
    logits.scatter_(-1, targets[..., None], 100.0)
    sums = channel_loss(logits, targets, eos_id=EOS)
    assert torch.equal(sums.channel_correct_C, sums.channel_targets_C)


def _states_and_head() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """More rows than a chunk, with targets of all kinds; logits of a trained model's size."""
    generator = torch.Generator().manual_seed(1)
    hidden_RD = torch.randn(300, 16, generator=generator)
    head = torch.randn(3 * 1028, 16, generator=generator)
    targets_RC = torch.randint(0, 1024, (300, 3), generator=generator)
    targets_RC[::7, 1] = IGNORE_INDEX
    targets_RC[5] = EOS
    targets_RC[9] = IGNORE_INDEX
    return hidden_RD, head, targets_RC


def _loss_and_gradients(
    of_states: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], LossSums],
) -> tuple[LossSums, torch.Tensor, torch.Tensor]:
    hidden_RD, head, targets_RC = _states_and_head()
    sums = of_states(hidden_RD.requires_grad_(), head.requires_grad_(), targets_RC)
    (sums.weighted / 7).backward()
    assert hidden_RD.grad is not None and head.grad is not None
    return sums.detach(), hidden_RD.grad, head.grad


@pytest.mark.parametrize("weights", [None, torch.tensor([4.0, 1.0, 0.0])])
def test_loss_in_chunks_is_the_loss_of_all_logits(weights: torch.Tensor | None) -> None:
    def whole(hidden_RD: torch.Tensor, head: torch.Tensor, targets_RC: torch.Tensor) -> LossSums:
        logits_RCV = (hidden_RD @ head.T).unflatten(1, (3, -1))
        return channel_loss(logits_RCV[None], targets_RC[None], eos_id=EOS, channel_weights=weights)

    expected = _loss_and_gradients(whole)
    actual = _loss_and_gradients(partial(head_loss, eos_id=EOS, channel_weights=weights))
    torch.testing.assert_close(vars(actual[0]), vars(expected[0]), rtol=1e-5, atol=1e-4)
    for ours, theirs in zip(actual[1:], expected[1:], strict=True):
        assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-5


def test_loss_in_chunks_never_has_the_logits_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(logits_RCV: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(len(logits_RCV))
        return cross_entropy_gradient(logits_RCV, *rest)

    head_loss(*_states_and_head(), eos_id=EOS, chunk_loss=watched)
    assert sum(seen) == 300
    assert max(seen) == ROWS_PER_CHUNK["cpu"]


def test_loss_in_chunks_under_autocast_is_nearly_that_of_float32() -> None:
    exact = _loss_and_gradients(partial(head_loss, eos_id=EOS))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = _loss_and_gradients(partial(head_loss, eos_id=EOS))
    assert rounded[0].weighted.item() == pytest.approx(exact[0].weighted.item(), rel=0.01)
    for ours, theirs in zip(rounded[1:], exact[1:], strict=True):
        assert ours.dtype is torch.float32
        assert (ours - theirs).norm() / theirs.norm() < 0.02


def test_logits_far_apart_have_a_finite_loss() -> None:
    """A probability that rounds to 0 still has a logarithm."""
    hidden_RD = torch.tensor([[200.0]], requires_grad=True)
    head = torch.tensor([[1.0], [-1.0]])
    sums = head_loss(hidden_RD, head, torch.tensor([[1]]), eos_id=EOS)
    assert sums.weighted.item() == pytest.approx(400)


def test_no_gradient_is_computed_where_none_is_wanted() -> None:
    hidden_RD, head, targets_RC = _states_and_head()
    with torch.no_grad():
        sums = head_loss(hidden_RD, head.requires_grad_(), targets_RC, eos_id=EOS)
    assert not sums.weighted.requires_grad
    sums = head_loss(hidden_RD.requires_grad_(), head.detach(), targets_RC, eos_id=EOS)
    sums.weighted.backward()
    assert hidden_RD.grad is not None
    assert head.grad is None
