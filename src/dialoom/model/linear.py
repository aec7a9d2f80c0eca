"""Linear maps for many rows, as training has them: x Wᵀ and the two products of its gradient.

On a CPU in float32 the products are oneDNN's. PyTorch takes MKL for them, which keeps to 256-bit
instructions on processors of other makers: half of what oneDNN reaches there.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MIN_MULTIPLICATIONS = 2**22
"""Smaller products are over before the choice pays."""

_IS_BUILT_WITH_ONEDNN = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """nn.Linear without bias that chooses the kernels of its products."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Float[Tensor, "*rows in"]) -> Float[Tensor, "*rows out"]:
        return linear(x, self.weight)


def linear(
    x: Float[Tensor, "*rows in"], weight: Float[Tensor, "out in"]
) -> Float[Tensor, "*rows out"]:
    """Product x Wᵀ, with a gradient."""
    if torch.is_autocast_enabled(x.device.type) or not is_for_onednn(x, weight):
        return F.linear(x, weight)
    out: Tensor = _OneDnnLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out


def multiply_transposed(
    left: Float[Tensor, "n k"], right: Float[Tensor, "m k"]
) -> Float[Tensor, "n m"]:
    """Left · rightᵀ, without a gradient; both may be transposed views.

    oneDNN reads a view on the right as it is and copies one on the left, so the larger matrix is on
    the right where that matters.
    """
    if not is_for_onednn(left, right):
        return torch.mm(left, right.T)
    swaps = left.numel() > right.numel() and not left.is_contiguous()
    out: Tensor = _onednn_product(right, left).T if swaps else _onednn_product(left, right)
    return out


class _OneDnnLinear(torch.autograd.Function):
    """x Wᵀ and both gradients by oneDNN's kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "*rows in"], weight: Float[Tensor, "out in"]
    ) -> Float[Tensor, "*rows out"]:
        ctx.save_for_backward(x, weight)
        out: Tensor = _onednn_product(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Float[Tensor, "*rows out"]
    ) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _onednn_product(gradient, weight.T)
        if ctx.needs_input_grad[1]:
            rows = gradient.flatten(0, -2)
            to_weight = multiply_transposed(rows.T, x.flatten(0, -2).T)
        return to_x, to_weight


@torch.library.custom_op("dialoom::onednn_product", mutates_args=())
def _onednn_product(left: Tensor, right: Tensor) -> Tensor:
    """Left · rightᵀ, (…, k) and (m, k) → (…, m); an operator of its own, for compiled graphs."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return out


@_onednn_product.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(*left.shape[:-1], right.shape[0])


def is_for_onednn(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN shall compute left · rightᵀ."""
    return (
        left.device.type == "cpu"
        and left.dtype is right.dtype is torch.float32
        and type(right) in (Tensor, nn.Parameter)  # not one of quantised or divided weights
        and has_onednn()
        and (torch.compiler.is_compiling() or left.numel() * len(right) >= MIN_MULTIPLICATIONS)
    )


def has_onednn() -> bool:
    """Whether this PyTorch computes by oneDNN, and nobody has switched that off."""
    return _IS_BUILT_WITH_ONEDNN and bool(torch.backends.mkldnn.enabled)
