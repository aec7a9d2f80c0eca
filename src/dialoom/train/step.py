"""One optimizer step, and one pass over the validation clips."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from dialoom.data import Batch, drop_text, hide_past
from dialoom.loss import LossSums, head_loss
from dialoom.model import DiaModel
from dialoom.sequence import TokenLayout
from dialoom.train.alignment import AlignmentGuide
from dialoom.train.settings import TrainSettings


@dataclass(frozen=True)
class StepResult:
    """What an optimizer step saw; left on the device, because reading it waits for the device.

    Attributes:
        sums: over all micro-batches.
        norm: of the gradient, before clipping.
        audio_seconds: speech in it, padding not counted.
    """

    sums: LossSums
    norm: Float[Tensor, ""]
    audio_seconds: float

    @property
    def grad_norm(self) -> float:
        """`norm` as a number; waits for the device."""
        return float(self.norm)

    @property
    def applied(self) -> bool:
        """False where the gradient was not finite and the weights stayed; waits for the device."""
        return math.isfinite(self.grad_norm)


@dataclass(frozen=True)
class Objective:
    """What a step minimises, and how it computes and bounds the gradient.

    Attributes:
        clip_norm: norm to which the gradient is clipped.
        channel_weights: w_c of the loss; None for all 1.
        autocast: around the forward pass.
        guide: of the cross-attention; None for a model that speaks already.
        loss: `head_loss`, or the compiled one.
        scaler: of the loss, so that fp16 holds the gradient; None where it need not.
    """

    clip_norm: float
    channel_weights: Tensor | None = None
    autocast: AbstractContextManager[None] = field(default_factory=nullcontext)
    guide: AlignmentGuide | None = None
    loss: Callable[..., LossSums] = head_loss
    scaler: torch.amp.GradScaler | None = None


def forward_loss(
    model: DiaModel,
    batch: Batch,
    channel_weights: Tensor | None,
    loss: Callable[..., LossSums] = head_loss,
) -> LossSums:
    """Teacher-forced loss of one micro-batch, as sums."""
    text_mask_BS = batch.text_mask_BS if batch.has_text_padding else None
    hidden_BTD = model.states(batch.text_BS, batch.audio_BTC, text_mask_BS, batch.packing)
    hidden_RD, targets_RC = hidden_BTD.flatten(0, 1), batch.targets_BTC.flatten(0, 1)
    if batch.target_rows is not None:
        hidden_RD, targets_RC = hidden_RD[batch.target_rows], targets_RC[batch.target_rows]
    return loss(
        hidden_RD,
        model.logits_dense.weight,
        targets_RC,
        eos_id=model.config.layout.eos_id,
        channel_weights=channel_weights,
    )


def train_step(
    model: DiaModel,
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    objective: Objective,
) -> StepResult:
    """Forward, loss ÷ the step's targets, backward, clip, update.

    The number of targets is known before the first forward pass, so the gradient of many small
    micro-batches is that of one large batch.
    """
    num_channels = model.config.layout.num_channels
    targets_per_channel = sum(batch.num_targets for batch in batches) / num_channels
    optimizer.zero_grad(set_to_none=True)
    total: LossSums | None = None
    for batch in batches:
        guide = objective.guide
        with objective.autocast, nullcontext() if guide is None else guide.watch(batch):
            sums = forward_loss(model, batch, objective.channel_weights, objective.loss)
        loss = sums.weighted if guide is None else sums.weighted + guide.penalty()
        _scaled(loss / targets_per_channel, objective.scaler).backward()  # type: ignore[no-untyped-call]
        total = sums.detach() if total is None else total + sums.detach()
    assert total is not None, "a step needs at least one micro-batch"
    if objective.scaler is not None:
        objective.scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), objective.clip_norm)
    if objective.scaler is None:
        update_if_finite(optimizer, norm)
    else:  # it too leaves the weights where a gradient is not finite
        objective.scaler.step(optimizer)
        objective.scaler.update()
    return StepResult(total, norm, sum(batch.audio_seconds for batch in batches))


def update_if_finite(optimizer: torch.optim.Optimizer, norm: Float[Tensor, ""]) -> None:
    """Updates the weights unless the gradient's norm is infinite or NaN.

    Fused optimizers look at the norm on the device, by the attribute through which GradScaler tells
    them of overflows, and count no step that they leave out; for others the host waits and decides.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
    elif bool(norm.isfinite()):
        optimizer.step()


def _scaled(loss: Tensor, scaler: torch.amp.GradScaler | None) -> Tensor:
    if scaler is None:
        return loss
    scaled: Tensor = scaler.scale(loss)
    return scaled


@torch.no_grad()
def evaluate_loss(
    model: DiaModel, batches: Sequence[Batch], autocast: AbstractContextManager[None]
) -> LossSums:
    """Loss over the validation clips, texts whole and channels unweighted."""
    total: LossSums | None = None
    for batch in batches:
        with autocast:
            sums = forward_loss(model, batch.to(model.logits_dense.weight.device), None)
        total = sums if total is None else total + sums
    assert total is not None, "there are validation clips"
    return total


def with_dropout(
    batch: Batch, settings: TrainSettings, layout: TokenLayout, *, step: int, number: int
) -> Batch:
    """Text dropout for guidance and audio dropout for reading.

    Seed, step and the micro-batch's number in it decide what is dropped.
    """
    seed = (settings.seed * 1_000_003 + step) * 1_009 + number
    generator = torch.Generator().manual_seed(seed)
    batch = drop_text(batch, settings.text_dropout, generator)
    if settings.audio_dropout == 0:
        return batch
    return hide_past(batch, settings.audio_dropout, layout.pad_id, generator)
