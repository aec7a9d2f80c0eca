"""Attention within each sequence of packed rows.

By PyTorch's variable-length kernel where there is one (a GPU since Ampere, 16-bit numbers, a
PyTorch whose kernel can be told Dia's scale), else sequence by sequence; both see the same places.
"""

import inspect
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dialoom.sequence import Spans

MAX_KERNEL_HEAD_DIM = 256


def packed_attention(
    q_THE: Float[Tensor, "T H E"],
    keys_SGE: Float[Tensor, "S G E"],
    values_SGE: Float[Tensor, "S G E"],
    spans: tuple[Spans, Spans],
    *,
    is_causal: bool,
    scale: float,
) -> Float[Tensor, "T H E"]:
    """Softmax(q · k · scale) · v, every query over the keys of its own sequence.

    Args:
        q_THE: queries, rotated already.
        keys_SGE: keys; G divides H.
        values_SGE: values.
        spans: of queries and of keys, sequence by sequence.
        is_causal: whether queries see only keys up to their own position.
        scale: of the scores.
    """
    if _kernel_takes(q_THE):
        return _by_kernel(q_THE, keys_SGE, values_SGE, spans, is_causal=is_causal, scale=scale)
    out: Tensor = _one_by_one(q_THE, keys_SGE, values_SGE, spans, is_causal=is_causal, scale=scale)
    return out


def _find_kernel() -> Callable[..., Tensor] | None:
    """`varlen_attn`, if it takes a scale: it does from PyTorch 2.11 on."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    takes_scale = "scale" in inspect.signature(varlen_attn).parameters
    return cast(Callable[..., Tensor], varlen_attn) if takes_scale else None


_KERNEL = _find_kernel()
_KERNEL_SHARES_KEYS = _KERNEL is not None and "enable_gqa" in inspect.signature(_KERNEL).parameters


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_kernel(device: torch.device) -> bool:
    """Whether a variable-length kernel that can be told a scale computes there.

    FlashAttention does on GPUs since Ampere.
    """
    is_gpu = _KERNEL is not None and device.type == "cuda"
    return is_gpu and torch.cuda.get_device_capability(device) >= (8, 0)


def _kernel_takes(q_THE: Float[Tensor, "T H E"]) -> bool:
    return (
        q_THE.dtype in (torch.bfloat16, torch.float16)
        and q_THE.shape[-1] % 8 == 0
        and q_THE.shape[-1] <= MAX_KERNEL_HEAD_DIM
        and has_kernel(q_THE.device)
    )


def _by_kernel(
    q_THE: Float[Tensor, "T H E"],
    keys_SGE: Float[Tensor, "S G E"],
    values_SGE: Float[Tensor, "S G E"],
    spans: tuple[Spans, Spans],
    *,
    is_causal: bool,
    scale: float,
) -> Float[Tensor, "T H E"]:
    of_queries, of_keys = spans
    assert _KERNEL is not None, "asked for only where there is one"
    shared: dict[str, bool] = {}
    group = q_THE.shape[1] // keys_SGE.shape[1]
    if group > 1 and _KERNEL_SHARES_KEYS:
        shared = {"enable_gqa": True}
    elif group > 1:
        keys_SGE = keys_SGE.repeat_interleave(group, dim=1)
        values_SGE = values_SGE.repeat_interleave(group, dim=1)
    return _KERNEL(
        q_THE,
        keys_SGE,
        values_SGE,
        of_queries.starts,
        of_keys.starts,
        of_queries.max_length,
        of_keys.max_length,
        scale=scale,
        window_size=(-1, 0) if is_causal else (-1, -1),
        **shared,
    )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _one_by_one(
    q_THE: Float[Tensor, "T H E"],
    keys_SGE: Float[Tensor, "S G E"],
    values_SGE: Float[Tensor, "S G E"],
    spans: tuple[Spans, Spans],
    *,
    is_causal: bool,
    scale: float,
) -> Float[Tensor, "T H E"]:
    """Outside of compiled graphs, which every new set of lengths would compile anew."""
    of_queries, of_keys = spans
    clips = zip(
        _heads_first(q_THE, of_queries),
        _heads_first(keys_SGE, of_keys),
        _heads_first(values_SGE, of_keys),
        strict=True,
    )
    attended = [
        F.scaled_dot_product_attention(
            q, keys, values, is_causal=is_causal, scale=scale, enable_gqa=q.shape[1] > keys.shape[1]
        )
        for q, keys, values in clips
    ]
    return torch.cat([out_1HTE[0].transpose(0, 1) for out_1HTE in attended])


def _heads_first(x_THE: Float[Tensor, "T H E"], spans: Spans) -> list[Float[Tensor, "1 H span E"]]:
    return [x.transpose(0, 1)[None] for x in torch.split(x_THE, list(spans.lengths))]
