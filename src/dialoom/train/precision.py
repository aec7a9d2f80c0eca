"""Which device, and in which numbers to compute on it."""

from contextlib import AbstractContextManager, nullcontext

import torch

from dialoom.errors import RecipeError
from dialoom.train.settings import TrainSettings


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


def autocast(device: torch.device, settings: TrainSettings) -> AbstractContextManager[None]:
    """bf16 or fp16 for matrix products over fp32 weights; residual stream, norms, loss stay fp32.

    With weights in bf16 the residual stream is bf16 too, the insides of norms and the loss fp32.
    """
    dtype = _compute_type(device, settings)
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)


def _compute_type(device: torch.device, settings: TrainSettings) -> torch.dtype:
    if settings.precision == "fp16":
        return torch.float16
    wanted = settings.precision == "bf16" or settings.weights == "bf16"
    if wanted or (settings.precision == "auto" and computes_in_bf16(device)):
        return torch.bfloat16
    return torch.float32


def loss_scaler(device: torch.device, settings: TrainSettings) -> torch.amp.GradScaler | None:
    """Keeps gradients above the smallest fp16 (Micikevicius et al., arXiv 1710.03740).

    None in bf16 and fp32, which need none. Attention at scale 1.0 overflows fp16 easily, so the
    scale begins at 2¹⁰: after ten gradients in a row that are not finite it is 1, and no more to
    blame.
    """
    if settings.precision != "fp16":
        return None
    return torch.amp.GradScaler(device.type, init_scale=2.0**10, growth_interval=200)


def use_tf32(device: torch.device, *, enabled: bool) -> None:
    """Sets for the whole process how a GPU multiplies fp32 matrices; CPUs have no TF32."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if enabled else "highest")
