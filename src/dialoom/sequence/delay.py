"""The delay pattern and its inverse: frames ↔ decoder steps.

Channel c is `delay[c]` steps late, so that each channel is predicted knowing the coarser channels
of the same frame. For a clip of F frames, frame f of channel c stands at step 1 + f + delay[c];
before it is BOS, at step 1 + F + delay[c] is EOS, after it PAD: F + max(delay) + 2 steps in all.

`build_delay_indices` and `apply_audio_delay` are the names under which Dia's users know the
operation (nari-labs/dia, transformers' DiaProcessor); `delay_codes` and `undelay_codes` are what
the rest of dialoom calls.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from dialoom.sequence.layout import TokenLayout


def build_delay_indices(num_steps: int, delay_pattern: Sequence[int]) -> Int[Tensor, "T C"]:
    """Row from which each delayed entry is taken: t - delay[c]. Negative means BOS."""
    steps = torch.arange(num_steps)[:, None]
    return steps - torch.tensor(delay_pattern)[None, :]


def build_revert_indices(num_steps: int, delay_pattern: Sequence[int]) -> Int[Tensor, "T C"]:
    """Row from which each undelayed entry is taken: t + delay[c]. From T on it means PAD."""
    steps = torch.arange(num_steps)[:, None]
    return steps + torch.tensor(delay_pattern)[None, :]


def apply_audio_delay(
    audio_BTC: Int[Tensor, "*B T C"],
    indices_TC: Int[Tensor, "T C"],
    *,
    bos_id: int,
    pad_id: int,
) -> Int[Tensor, "*B T C"]:
    """Shifts every channel by its delay; what lies before the first row is BOS, behind it PAD."""
    num_steps = audio_BTC.shape[-2]
    indices_TC = indices_TC.to(audio_BTC.device)
    rows = indices_TC.clamp(0, num_steps - 1).expand(audio_BTC.shape)
    moved = audio_BTC.gather(-2, rows)
    moved = moved.masked_fill(indices_TC < 0, bos_id)
    return moved.masked_fill(indices_TC >= num_steps, pad_id)


def revert_audio_delay(
    audio_BTC: Int[Tensor, "*B T C"],
    indices_TC: Int[Tensor, "T C"],
    *,
    pad_id: int,
) -> Int[Tensor, "*B T C"]:
    """Inverse of `apply_audio_delay`; rows that would lie beyond the end are PAD."""
    return apply_audio_delay(audio_BTC, indices_TC, bos_id=pad_id, pad_id=pad_id)


def delay_codes(
    codes_FC: Int[Tensor, "F C"], layout: TokenLayout, *, complete: bool = True
) -> Int[Tensor, "T C"]:
    """All decoder steps of one clip, int64.

    A clip that was cut (`complete=False`) has no EOS: its end is not the end of its speech.
    """
    num_frames = codes_FC.shape[0]
    num_steps = layout.num_steps(num_frames, complete=complete)
    rows = codes_FC.new_full((num_steps, layout.num_channels), layout.pad_id, dtype=torch.long)
    rows[0] = layout.bos_id
    rows[1 : 1 + num_frames] = codes_FC
    if complete:
        rows[1 + num_frames] = layout.eos_id
    indices = build_delay_indices(num_steps, layout.delay_pattern)
    return apply_audio_delay(rows, indices, bos_id=layout.bos_id, pad_id=layout.pad_id)


def undelay_codes(steps_TC: Int[Tensor, "T C"], layout: TokenLayout) -> Int[Tensor, "F C"]:
    """Inverse of `delay_codes`: the frames up to the first of which some channel is no code.

    So it also takes a stream that stopped without EOS: frames that the delay leaves unfinished are
    no part of the result.
    """
    indices = build_revert_indices(steps_TC.shape[0], layout.delay_pattern)
    rows = revert_audio_delay(steps_TC, indices, pad_id=layout.pad_id)[1:]
    is_frame = (rows < layout.codebook_size).all(dim=-1)
    num_frames = int(is_frame.long().cumprod(dim=0).sum())
    return rows[:num_frames]
