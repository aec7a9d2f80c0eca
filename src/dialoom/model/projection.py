"""Matrix products of decoding: few rows, many times, by weights that no longer change."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dialoom.model.linear import Linear, has_onednn

Quantize = Callable[[Tensor], Tensor]
"""A matrix → the same one in fewer bits, as a tensor that F.linear takes."""


class Projection:
    """x → x Wᵀ by weights as they are when this is made.

    On a CPU the weights are copied once into the order that oneDNN's kernels read: faster than a
    product by plain weights for the few rows of a decoding step, and the result of a row hardly
    depends on how many rows stand beside it, which a plain product's does.
    """

    def __init__(self, weight: Float[Tensor, "out in"], quantize: Quantize | None = None) -> None:
        self._weight = weight.detach()
        if quantize is not None:
            self._weight = quantize(self._weight)
        self._packed = _pack(self._weight)

    def __call__(self, x: Float[Tensor, "*rows in"]) -> Float[Tensor, "*rows out"]:
        if self._packed is None:
            return F.linear(x, self._weight)
        out: Tensor = _mkldnn()._linear_pointwise(x, self._packed, None, "none", [], "")
        return out

    def add_to(
        self, residual: Float[Tensor, "*rows out"], x: Float[Tensor, "*rows in"]
    ) -> Float[Tensor, "*rows out"]:
        """Residual + x Wᵀ."""
        if self._packed is None:
            return residual + F.linear(x, self._weight)
        out: Tensor = _mkldnn()._linear_pointwise.binary(x, residual, self._packed, None, "add")
        return out


def plain_weight(linear: Any) -> Float[Tensor, "out in"]:
    """The matrix of a linear map; of one with an adapter around it, with the adapter in it."""
    if type(linear) in (nn.Linear, Linear):
        return cast(Tensor, linear.weight).detach()
    like = next(linear.parameters())
    with torch.no_grad():
        identity = torch.eye(linear.in_features, dtype=like.dtype, device=like.device)
        weight: Tensor = linear(identity).T.contiguous()
    return weight


def _pack(weight: Tensor) -> Tensor | None:
    """The weight in oneDNN's order; None where there is no kernel for such weights."""
    is_plain = type(weight) in (Tensor, nn.Parameter)  # not one that torchao has quantized
    if not is_plain or weight.device.type != "cpu" or not has_onednn():
        return None
    if weight.dtype is torch.bfloat16:
        is_computed = bool(_mkldnn()._is_mkldnn_bf16_supported())
    else:
        is_computed = weight.dtype is torch.float32
    if not is_computed:
        return None
    packed: Tensor = _mkldnn()._reorder_linear_weight(weight.contiguous(), None)
    return packed


def _mkldnn() -> Any:
    """PyTorch's operators over oneDNN, which torch.compile calls too."""
    return torch.ops.mkldnn
