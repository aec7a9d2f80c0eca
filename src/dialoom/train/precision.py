"""Which device, and in which numbers to compute on it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from dialoom.errors import RecipeError


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        RecipeError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(f"train.device: {name!r} cannot be used here ({reason})") from None
    return device


def computes_in_bf16(device: torch.device) -> bool:
    """Whether bf16 products are faster than fp32 there.

    On GPUs since Ampere, on CPUs with AVX-512 BF16 or AMX; others emulate bf16 at a loss.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(
    device: torch.device, precision: Literal["auto", "bf16", "fp32"]
) -> AbstractContextManager[None]:
    """bf16 for matrix products over fp32 weights; the residual stream, norms and loss stay fp32."""
    wanted = precision == "bf16" or (precision == "auto" and computes_in_bf16(device))
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()
