"""One optimizer step, and one pass over the validation clips."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

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


class StepLoss(nn.Module):
    """A model and what it minimises in one module, which is what DDP and FSDP2 wrap."""

    def __init__(self, model: DiaModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> tuple[Tensor, LossSums]:
        """The summed loss of a micro-batch, scaled for fp16; and all of its sums, without graph.

        Guidance of the attention belongs to training mode alone, and to clips that count: those of
        a silent micro-batch do not.
        """
        objective = self.objective
        guide = objective.guide if self.training and batch.num_targets > 0 else None
        with objective.autocast, nullcontext() if guide is None else guide.watch(batch):
            sums = forward_loss(self.model, batch, objective.channel_weights, objective.loss)
        loss = sums.weighted if guide is None else sums.weighted + guide.penalty()
        return _scaled(loss, objective.scaler), sums.detach()


def train_step(
    model: DiaModel,
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    accumulate: Callable[[Sequence[Batch]], LossSums] | None = None,
) -> StepResult:
    """Forward, loss ÷ the step's targets, backward, clip, update.

    The number of targets is known before the first forward pass, so the gradient of many small
    micro-batches is that of one large batch.

    Args:
        model: to train.
        batches: the micro-batches of the step.
        optimizer: of the model's parameters.
        objective: what is minimised.
        accumulate: forward and backward of all micro-batches, on several ranks for instance; None
            for those of this process alone.
    """
    optimizer.zero_grad(set_to_none=True)
    if accumulate is None:
        num_targets = sum(batch.num_targets for batch in batches)
        sums = accumulate_gradients(
            StepLoss(model, objective), batches, num_targets / model.config.layout.num_channels
        )
    else:
        sums = accumulate(batches)
    has_gradient = any(p.grad is not None for p in model.parameters())
    scaler = objective.scaler if has_gradient else None  # none where no clip of the step fitted
    if scaler is not None:
        scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), objective.clip_norm)
    if isinstance(norm, DTensor):  # of divided gradients each rank has a part
        norm = norm.full_tensor()
    if scaler is None:
        update_if_finite(optimizer, norm)
    else:  # it too leaves the weights where a gradient is not finite
        scaler.step(optimizer)
        scaler.update()
    return StepResult(sums, norm, sum(batch.audio_seconds for batch in batches))


def accumulate_gradients(
    step_loss: Callable[[Batch], tuple[Tensor, LossSums]],
    batches: Sequence[Batch],
    targets_per_channel: float,
    traffic: Callable[[bool], AbstractContextManager[None]] = lambda is_last: nullcontext(),
) -> LossSums:
    """Forward and backward of every micro-batch.

    Args:
        step_loss: a `StepLoss`, possibly wrapped: the loss with its graph, and all sums.
        batches: one at least.
        targets_per_channel: by which the summed loss is divided.
        traffic: around a micro-batch; told whether it is the last.
    """
    total: LossSums | None = None
    for number, batch in enumerate(batches, start=1):
        with traffic(number == len(batches)):
            loss, sums = step_loss(batch)
            (loss / targets_per_channel).backward()  # type: ignore[no-untyped-call]
        total = sums if total is None else total + sums
    assert total is not None, "a step needs at least one micro-batch"
    return total


def no_loss(model: DiaModel) -> LossSums:
    """The sums of no clip at all."""
    device, channels = model.logits_dense.weight.device, model.config.layout.num_channels
    zero = torch.zeros((), device=device)
    counts_C = torch.zeros(channels, dtype=torch.long, device=device)
    return LossSums(zero, counts_C.float(), counts_C, counts_C, zero, counts_C, counts_C)


def update_if_finite(optimizer: torch.optim.Optimizer, norm: Float[Tensor, ""]) -> None:
    """Updates the weights unless the gradient's norm is infinite or NaN.

    Fused optimizers look at the norm on the device, by the attribute through which GradScaler tells
    them of overflows, and count no step that they leave out. For others, and for weights that are
    divided among ranks, the host waits and decides.
    """
    divided = any(
        isinstance(p, DTensor) for group in optimizer.param_groups for p in group["params"]
    )
    if getattr(optimizer, "_step_supports_amp_scaling", False) and not divided:
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
    return hide_past(
        batch,
        settings.audio_dropout,
        layout.pad_id,
        generator,
        misheard_share=settings.misheard_share,
    )
