"""Summed per-channel cross-entropy, kept as sums until the whole step is known.

The loss of an optimizer step is Σ_c w_c · S_c / n, where S_c is the summed cross-entropy of channel
c over all micro-batches and ranks and n the number of targets of one channel in them. Dividing once
at the end is what makes the gradient the same however the step is cut into micro-batches.

`head_loss` goes from the decoder's states to these sums chunk by chunk, head and gradient included:
the logits of a whole batch, C · V = 9,252 numbers per step and the largest tensor by far, never
exist. `channel_loss` is the same for logits that are at hand.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils._pytree import register_dataclass

from dialoom.model.linear import is_for_onednn, multiply_transposed
from dialoom.sequence import IGNORE_INDEX

ROWS_PER_CHUNK = {"cpu": 256, "cuda": 2048}
"""Rows whose logits exist at once: 9 MB of float32 fit a CPU's cache, 76 MB keep a GPU busy."""


ChunkLoss = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]
"""As `cross_entropy_gradient`."""


@dataclass(frozen=True)
class LossSums:
    """Sums over the targets of a micro-batch, in nats; all are to be divided by their counts.

    Attributes:
        weighted: scalar Σ_c w_c · S_c; the only entry that carries a gradient.
        channel_losses_C: S_c, raw.
        channel_targets_C: targets of each channel, EOS included.
        channel_correct_C: how many of them no other id has a larger logit than.
        eos_loss: summed over the EOS targets of all channels.
        eos_targets_C: how many there are of each channel.
        eos_correct_C: how many of them no other id has a larger logit than.
    """

    weighted: Float[Tensor, ""]
    channel_losses_C: Float[Tensor, " C"]
    channel_targets_C: Int[Tensor, " C"]
    channel_correct_C: Int[Tensor, " C"]
    eos_loss: Float[Tensor, ""]
    eos_targets_C: Int[Tensor, " C"]
    eos_correct_C: Int[Tensor, " C"]

    def __add__(self, other: "LossSums") -> "LossSums":
        return LossSums(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def detach(self) -> "LossSums":
        """The same sums without the graph behind them."""
        return LossSums(**{name: value.detach() for name, value in vars(self).items()})


register_dataclass(LossSums)  # so that wrappers which look into a module's outputs find its tensors


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
    logits_BTCV = logits_BTCV.detach()
    chosen_BTC = logits_BTCV.gather(-1, targets_BTC.clamp(min=0)[..., None])[..., 0]
    is_correct_BTC = chosen_BTC == logits_BTCV.amax(dim=-1)
    return _sums(
        weighted_C.sum(),
        losses_BTC.detach().flatten(0, 1),
        targets_BTC.flatten(0, 1),
        is_correct_BTC.flatten(0, 1),
        eos_id,
    )


def head_loss(
    hidden_RD: Float[Tensor, "R D"],
    head_weight: Float[Tensor, "CV D"],
    targets_RC: Int[Tensor, "R C"],
    *,
    eos_id: int,
    channel_weights: Float[Tensor, " C"] | None = None,
    chunk_loss: ChunkLoss | None = None,
) -> LossSums:
    """`channel_loss` of the logits that the head makes of the states, a chunk of rows at a time.

    Logits and their gradient are float32; where autocast is on, the products with the head's weight
    are in its type. The gradient is computed along with the loss, so the logits are made once.

    Args:
        hidden_RD: the decoder's states at R steps of any clips: the rows that are no padding.
        head_weight: of the head, channel by channel.
        targets_RC: the steps that follow; else as in `channel_loss`.
        eos_id: as in `channel_loss`.
        channel_weights: as in `channel_loss`.
        chunk_loss: `cross_entropy_gradient`, or the compiled one.
    """
    weighted, losses_RC, is_hit_RC = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden_RD,
        head_weight,
        targets_RC,
        channel_weights,
        chunk_loss or cross_entropy_gradient,
        torch.is_grad_enabled(),
    )
    return _sums(weighted, losses_RC, targets_RC, is_hit_RC, eos_id)


def cross_entropy_gradient(
    logits_RCV: Float[Tensor, "R C V"],
    targets_RC: Int[Tensor, "R C"],
    channel_weights: Float[Tensor, " C"] | None,
) -> tuple[Float[Tensor, "R C V"], Float[Tensor, "R C"], Bool[Tensor, "R C"]]:
    """Gradient of the weighted cross-entropy, softmax minus one-hot; the raw losses; the hits.

    All three are 0 where the target is IGNORE_INDEX. The logarithm of Σ exp is read off the largest
    probability, which is at least 1/V, so one exponential serves loss and gradient.
    """
    is_target_RC = targets_RC != IGNORE_INDEX
    chosen_RC1 = targets_RC.clamp(min=0)[..., None]
    chosen_logits_RC = logits_RCV.gather(-1, chosen_RC1)[..., 0]
    largest_RC = logits_RCV.amax(dim=-1)
    gradient_RCV = logits_RCV.softmax(dim=-1)
    losses_RC = largest_RC - gradient_RCV.amax(dim=-1).log() - chosen_logits_RC
    scale_RC = is_target_RC.float() if channel_weights is None else is_target_RC * channel_weights
    gradient_RCV = gradient_RCV.scatter_add_(
        -1, chosen_RC1, losses_RC.new_full(chosen_RC1.shape, -1.0)
    )
    gradient_RCV *= scale_RC[..., None]
    is_hit_RC = (chosen_logits_RC == largest_RC) & is_target_RC
    return gradient_RCV, losses_RC * is_target_RC, is_hit_RC


def _sums(
    weighted: Float[Tensor, ""],
    losses_RC: Float[Tensor, "R C"],
    targets_RC: Int[Tensor, "R C"],
    is_correct_RC: Bool[Tensor, "R C"],
    eos_id: int,
) -> LossSums:
    is_target_RC, is_eos_RC = targets_RC != IGNORE_INDEX, targets_RC == eos_id
    return LossSums(
        weighted=weighted,
        channel_losses_C=losses_RC.sum(dim=0),
        channel_targets_C=is_target_RC.sum(dim=0),
        channel_correct_C=(is_correct_RC & is_target_RC).sum(dim=0),
        eos_loss=(losses_RC * is_eos_RC).sum(),
        eos_targets_C=is_eos_RC.sum(dim=0),
        eos_correct_C=(is_correct_RC & is_eos_RC).sum(dim=0),
    )


class _HeadLoss(torch.autograd.Function):
    """Head and cross-entropy in one; forward leaves the gradients of both inputs behind."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_RD: Float[Tensor, "R D"],
        head_weight: Float[Tensor, "CV D"],
        targets_RC: Int[Tensor, "R C"],
        channel_weights: Float[Tensor, " C"] | None,
        chunk_loss: ChunkLoss,
        wants_gradient: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden_RD.device.type
        is_autocast = torch.is_autocast_enabled(device)
        in_type = torch.get_autocast_dtype(device) if is_autocast else hidden_RD.dtype
        states_RD, weight = hidden_RD.to(in_type), head_weight.to(in_type)
        to_hidden, to_weight = (wants_gradient and needed for needed in ctx.needs_input_grad[:2])
        hidden_gradient = torch.empty_like(states_RD) if to_hidden else None
        weight_gradient = None
        if to_weight:  # stored transposed, as oneDNN gives its parts
            weight_gradient = weight.new_zeros(weight.shape[::-1], dtype=torch.float32).T
        logits_shape = (-1, targets_RC.shape[1], len(weight) // targets_RC.shape[1])
        losses, hits = [], []
        with torch.autocast(device, enabled=False):
            for rows in _chunks(len(states_RD), device):
                logits_RCV = multiply_transposed(states_RD[rows], weight).float().view(logits_shape)
                gradient, chunk_losses, chunk_hits = chunk_loss(
                    logits_RCV, targets_RC[rows], channel_weights
                )
                losses.append(chunk_losses)
                hits.append(chunk_hits)
                if hidden_gradient is not None:
                    hidden_gradient[rows] = multiply_transposed(
                        gradient.flatten(1).to(in_type), weight.T
                    )
                if weight_gradient is not None:
                    _add_product(weight_gradient, gradient.flatten(1).to(in_type), states_RD[rows])
        losses_RC, is_hit_RC = torch.cat(losses), torch.cat(hits)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.types = hidden_RD.dtype, head_weight.dtype
        ctx.mark_non_differentiable(losses_RC, is_hit_RC)
        weighted = losses_RC if channel_weights is None else losses_RC * channel_weights
        return weighted.sum(), losses_RC, is_hit_RC

    @staticmethod
    def backward(ctx: Any, scale: Float[Tensor, ""], *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [
            None if gradient is None else (gradient * scale).to(in_type)
            for gradient, in_type in zip(ctx.saved_tensors, ctx.types, strict=True)
        ]
        return (*gradients, None, None, None, None)


def _chunks(num_rows: int, device: str) -> Iterator[slice]:
    size = ROWS_PER_CHUNK.get(device, ROWS_PER_CHUNK["cuda"])
    return (slice(start, start + size) for start in range(0, num_rows, size))


def _add_product(
    total: Float[Tensor, "CV D"], gradient: Float[Tensor, "R CV"], states_RD: Float[Tensor, "R D"]
) -> None:
    """Total += gradientᵀ · states, without a temporary where the types allow it."""
    if gradient.dtype is not total.dtype or is_for_onednn(states_RD.T, gradient.T):
        total += multiply_transposed(gradient.T, states_RD.T)
    else:
        total.addmm_(gradient.T, states_RD)
