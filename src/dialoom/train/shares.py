"""Which part of a step's global batch is whose; the step is the same for any number of ranks.

The global batch of a step is its `train.accumulate` micro-batches, in an order that knows nothing
of ranks. With fewer ranks than micro-batches each takes every W-th of them, with more ranks several
share the clips of one. Where that does not come out even, a rank computes a silent micro-batch: it
takes part in the traffic of gradients and adds nothing to them.
"""

from dataclasses import dataclass, replace

import torch

from dialoom.data import Batch, take_clips
from dialoom.sequence import IGNORE_INDEX, Packing, Spans

SILENT_PLACES = 16
"""Bytes and decoder steps of a silent micro-batch, which nothing depends on."""


@dataclass(frozen=True)
class Share:
    """One micro-batch of a rank.

    Attributes:
        number: of the micro-batch in the step.
        part: which of its clips: `clips[part::parts]`.
        parts: into how many it is divided.
        is_silent: whether its targets count for nothing.
    """

    number: int
    part: int = 0
    parts: int = 1
    is_silent: bool = False


def shares_of(rank: int, world_size: int, accumulate: int) -> list[Share]:
    """The micro-batches of a rank; every rank has equally many."""
    if world_size > accumulate:
        number = rank % accumulate
        parts = (world_size - number + accumulate - 1) // accumulate
        return [Share(number, rank // accumulate, parts)]
    numbers = list(range(rank, accumulate, world_size))
    shares = [Share(number) for number in numbers]
    missing = -(-accumulate // world_size) - len(numbers)
    return shares + [Share(numbers[0], is_silent=True)] * missing


def take_share(batch: Batch, share: Share, pad_id: int) -> Batch:
    """The clips of a share; a part without clips is silent."""
    rows = range(share.part, len(batch.clip_ids), share.parts)
    if share.is_silent or not rows:
        return silent(batch)
    return batch if share.parts == 1 else take_clips(batch, rows, pad_id=pad_id)


def silent(batch: Batch) -> Batch:
    """The beginning of the first clip without targets: loss and gradient are zero, and cheap."""
    num_bytes = min(SILENT_PLACES, batch.text_lengths[0])
    num_steps = min(SILENT_PLACES, batch.audio_lengths[0])
    packing = None
    if batch.packing is not None:
        packing = Packing(Spans.of([num_bytes]), Spans.of([num_steps])).to(batch.text_BS.device)
    quiet = replace(
        batch,
        text_BS=batch.text_BS[:1, :num_bytes],
        text_mask_BS=batch.text_mask_BS[:1, :num_bytes],
        audio_BTC=batch.audio_BTC[:1, :num_steps],
        targets_BTC=torch.full_like(batch.targets_BTC[:1, :num_steps], IGNORE_INDEX),
        audio_mask_BT=batch.audio_mask_BT[:1, :num_steps],
        num_targets=0,
        num_text_bytes=num_bytes,
        clip_ids=(),
        audio_seconds=0.0,
        packing=packing,
    )
    # the head has to take part too: it is given one row, whose targets do not count
    vars(quiet)["target_rows"] = torch.zeros(1, dtype=torch.long, device=batch.text_BS.device)
    return quiet
