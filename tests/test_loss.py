"""The loss: per channel, summed, divided once."""

import math

import pytest
import torch

from dialoom.loss import channel_loss
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
    assert sums.eos_targets == 3
    assert sums.eos_loss.item() == pytest.approx(-log_p[1, 5, :, EOS].sum().item(), 1e-5)


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
