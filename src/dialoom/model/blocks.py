"""The two parts that encoder and decoder blocks share: RMSNorm and the SwiGLU feed-forward."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dialoom.model.linear import Linear


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) · weight (Zhang and Sennrich, arXiv 1910.07467), in float32 inside."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        if x.dtype == self.weight.dtype == torch.float32:  # in one kernel where there is one
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        normed = F.rms_norm(x.float(), self.weight.shape, eps=self.eps)
        return normed.to(x.dtype) * self.weight


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202): down(up(x) · silu(gate(x))), gate and up as one."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_up_proj = Linear(hidden_size, 2 * intermediate_size)
        self.down_proj = Linear(intermediate_size, hidden_size)

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        gate_up = self.gate_up_proj(x)
        if torch.compiler.is_compiling():  # which fuses better than by hand
            gate, up = gate_up.chunk(2, dim=-1)
            gated = F.silu(gate) * up
        else:
            gated = _SiluProduct.apply(gate_up)  # type: ignore[no-untyped-call]
        out: Tensor = self.down_proj(gated)
        return out


class _SiluProduct(torch.autograd.Function):
    """silu(first half) · second half, which keeps its input alone for the backward pass.

    The gradient of both halves is written to its place; autograd's own would keep three tensors,
    make two and join them. Values are the same bit for bit.
    """

    @staticmethod
    def forward(ctx: Any, gate_up: Float[Tensor, "*batch D2"]) -> Float[Tensor, "*batch D"]:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D2"]:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        to_gate, to_up = out.chunk(2, dim=-1)
        torch.mul(gradient, up, out=to_gate)
        torch.ops.aten.silu_backward.grad_input(to_gate, gate, grad_input=to_gate)
        torch.mul(gradient, F.silu(gate), out=to_up)
        return out
