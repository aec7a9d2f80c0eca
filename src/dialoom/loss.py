"""Summed per-channel cross-entropy, kept as sums until the whole step is known.

The loss of an optimizer step is Σ_c w_c · S_c / n, where S_c is the summed cross-entropy of channel
c over all micro-batches and ranks and n the number of targets of one channel in them. Dividing once
at the end is what makes the gradient the same however the step is cut into micro-batches.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dialoom.sequence import IGNORE_INDEX


@dataclass(frozen=True)
class LossSums:
    """Sums over the targets of a micro-batch, in nats; all are to be divided by their counts.

    Attributes:
        weighted: scalar Σ_c w_c · S_c; the only entry that carries a gradient.
        channel_losses_C: S_c, raw.
        channel_targets_C: targets of each channel, EOS included.
        channel_correct_C: how many of them the arg-max hits.
        eos_loss: summed over the EOS targets of all channels.
        eos_targets: how many there are.
        eos_correct: how many the arg-max hits.
    """

    weighted: Float[Tensor, ""]
    channel_losses_C: Float[Tensor, " C"]
    channel_targets_C: Int[Tensor, " C"]
    channel_correct_C: Int[Tensor, " C"]
    eos_loss: Float[Tensor, ""]
    eos_targets: Int[Tensor, ""]
    eos_correct: Int[Tensor, ""]

    def __add__(self, other: "LossSums") -> "LossSums":
        return LossSums(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def detach(self) -> "LossSums":
        """The same sums without the graph behind them."""
        return LossSums(**{name: value.detach() for name, value in vars(self).items()})


def channel_loss(
    logits_BTCV: Float[Tensor, "B T C V"],
    targets_BTC: Int[Tensor, "B T C"],
    *,
    eos_id: int,
    channel_weights: Float[Tensor, " C"] | None = None,
) -> LossSums:
    """Cross-entropy of every target, summed for each channel, in float32.

    Args:
        logits_BTCV: row t predicts step t + 1.
        targets_BTC: that step; IGNORE_INDEX where it is BOS or PAD. Code 0 is a code like others.
        eos_id: the id whose sums are kept apart as well.
        channel_weights: w_c; None for all 1.
    """
    losses_BTC = F.cross_entropy(
        logits_BTCV.float().flatten(0, 2),
        targets_BTC.flatten(),
        ignore_index=IGNORE_INDEX,
        reduction="none",
    ).view(targets_BTC.shape)
    channel_losses_C = losses_BTC.sum(dim=(0, 1))
    weighted_C = channel_losses_C if channel_weights is None else channel_losses_C * channel_weights
    is_correct = logits_BTCV.detach().argmax(dim=-1) == targets_BTC
    is_eos = targets_BTC == eos_id
    return LossSums(
        weighted=weighted_C.sum(),
        channel_losses_C=channel_losses_C.detach(),
        channel_targets_C=(targets_BTC != IGNORE_INDEX).sum(dim=(0, 1)),
        channel_correct_C=is_correct.sum(dim=(0, 1)),
        eos_loss=(losses_BTC.detach() * is_eos).sum(),
        eos_targets=is_eos.sum(),
        eos_correct=(is_correct & is_eos).sum(),
    )
