"""One decoder layer over one step of all rows; see `step_decoder.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from dialoom.model.attention import ATTENTION_SCALE, KeyValues, SelfAttention
from dialoom.model.blocks import RMSNorm
from dialoom.model.decoder import DecoderLayer, TextContext
from dialoom.model.projection import Projection, Quantize, plain_weight
from dialoom.model.step_memory import PastSteps, Span, StepMemory


@dataclass(frozen=True)
class Place:
    """Where in their sequences the rows of a step are, and what follows from it.

    Attributes:
        positions: of each row.
        spans: what of the past each row attends to.
        turns: RoPE's rotation of each row.
        text_turns: that of queries onto the text, in the revision that has it.
        mask: with fixed shapes, the part of the window that is filled.
    """

    positions: Int[Tensor, " R"]
    spans: Sequence[Span]
    turns: Complex[Tensor, "R 1 half"]
    text_turns: Complex[Tensor, "B 1 text_half"] | None
    mask: Bool[Tensor, "R 1 1 T"] | None

    @property
    def is_even(self) -> bool:
        """All rows are at the same position, and the host knows it."""
        return self.mask is None and len(self.spans) == 1


class StepLayer:
    """A decoder layer, its weights arranged for steps."""

    def __init__(
        self,
        layer: DecoderLayer,
        no_text: TextContext,
        *,
        rotates_text: bool,
        quantize: Quantize | None,
    ) -> None:
        """Arranges the weights.

        Args:
            layer: as it was trained.
            no_text: the encoder's state of one zero byte: the text of unconditional rows.
            rotates_text: whether queries and keys of cross-attention are turned by RoPE.
            quantize: for the matrices.
        """
        self.trained = layer
        self._rotates_text = rotates_text
        own, cross = layer.self_attention, layer.cross_attention
        self._head_dim, self._cross_head_dim = own.head_dim, cross.head_dim
        self._heads = own.q_proj.out_features // own.head_dim
        self._kv_heads = own.k_proj.out_features // own.head_dim
        self._cross_kv_heads = cross.k_proj.out_features // cross.head_dim
        cross_q = plain_weight(cross.q_proj)
        if rotates_text:
            cross_q = _with_pairs_side_by_side(cross_q, cross.head_dim)

        self._qkv = Projection(_fuse(own), quantize)
        self._out = Projection(plain_weight(own.o_proj), quantize)
        self._cross_q = Projection(cross_q, quantize)
        self._cross_out = Projection(plain_weight(cross.o_proj), quantize)
        self._gate_up = Projection(plain_weight(layer.mlp.gate_up_proj), quantize)
        self._down = Projection(plain_weight(layer.mlp.down_proj), quantize)
        self._norm = StepNorm(layer.pre_sa_norm)
        self._cross_norm = StepNorm(layer.pre_ca_norm)
        self._mlp_norm = StepNorm(layer.pre_mlp_norm)
        self._from_no_text_D = self._attend_no_text(no_text)

    def read(self, text: TextContext) -> KeyValues:
        """What conditional rows will attend to."""
        new = self.trained.cross_attention.keys_values(text.states, text.rope_keys)
        return KeyValues(pairs_side_by_side(new.keys), new.values) if self._rotates_text else new

    def _attend_no_text(self, no_text: TextContext) -> Float[Tensor, " D"]:
        """Attention over one value is that value, whatever the query: so any will do."""
        cross = self.trained.cross_attention
        any_query = no_text.states.new_zeros(1, 1, cross.q_proj.in_features)
        keys_values = cross.keys_values(no_text.states, no_text.rope_keys)
        out_11D: Tensor = cross(any_query, keys_values, None, None)
        return out_11D.flatten()

    def step(
        self, x_RD: Float[Tensor, "R D"], memory: StepMemory, number: int, place: Place
    ) -> Float[Tensor, "R D"]:
        """`DecoderLayer.forward` for one step; memory of layer `number` grows by it."""
        attended = self._attend_past(self._norm(x_RD), memory.past[number], place)
        x_RD = self._out.add_to(x_RD, attended)
        num_conditional = len(memory.openings)
        conditional = x_RD[:num_conditional]
        attended = self._attend_text(self._cross_norm(conditional), memory, number, place)
        conditional.add_(self._cross_out(attended))  # in place: x_RD holds these rows
        if num_conditional < x_RD.shape[0]:
            x_RD[num_conditional:].add_(self._from_no_text_D)
        gate, up = self._gate_up(self._mlp_norm(x_RD)).chunk(2, dim=-1)
        return self._down.add_to(x_RD, F.silu(gate) * up)

    def _attend_past(
        self, x_RD: Float[Tensor, "R D"], past: PastSteps, place: Place
    ) -> Float[Tensor, "R HE"]:
        num_rows = x_RD.shape[0]
        heads = self._qkv(x_RD).view(num_rows, -1, self._head_dim)
        _turn(heads[:, : self._heads + self._kv_heads], place.turns)
        past.append(heads[:, self._heads :], place.positions, at_once=place.is_even)
        queries = heads[:, : self._heads].view(num_rows, self._kv_heads, -1, self._head_dim)
        if len(place.spans) == 1:
            end = place.spans[0].end
            return attend(queries, past.keys[:, :, :end], past.values[:, :, :end], place.mask)
        parts = [
            attend(
                queries[span.rows],
                past.keys[span.rows, :, : span.end],
                past.values[span.rows, :, : span.end],
                None,
            )
            for span in place.spans
        ]
        return torch.cat(parts)

    def _attend_text(
        self, x_BD: Float[Tensor, "B D"], memory: StepMemory, number: int, place: Place
    ) -> Float[Tensor, "B HE"]:
        num_rows = x_BD.shape[0]
        heads = self._cross_q(x_BD).view(num_rows, -1, self._cross_head_dim)
        if place.text_turns is not None:
            _turn(heads, place.text_turns)
        queries = heads.view(num_rows, self._cross_kv_heads, -1, self._cross_head_dim)
        if len(memory.texts) == 1:
            text = memory.texts[0].text[number]
            return attend(queries, text.keys, text.values, memory.texts[0].mask)
        parts = [
            attend(queries[group.rows], group.text[number].keys, group.text[number].values, None)
            for group in memory.texts
        ]
        return torch.cat(parts)


class StepNorm:
    """RMSNorm in float32, rounded once, in few operations.

    x / √(mean(x²) + eps) = √D · x / √(|x|² + D · eps), and hypot(a, b) = √(a² + b²).
    """

    def __init__(self, norm: RMSNorm) -> None:
        self._weight, self._eps = norm.weight.detach(), norm.eps
        size = self._weight.numel()
        self._scaled = self._weight.float() * size**0.5
        self._floor = torch.tensor((size * norm.eps) ** 0.5, device=self._weight.device)

    def __call__(self, x_RD: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        if x_RD.is_cuda:  # one kernel there, ten on a CPU
            return F.rms_norm(x_RD, self._weight.shape, self._weight, self._eps)
        exact = x_RD.float()
        length = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
        normed: Tensor = exact / torch.hypot(length, self._floor) * self._scaled
        return normed.to(x_RD.dtype)


def pairs_side_by_side(x: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch E"]:
    """(x[0] … x[E/2 - 1], x[E/2] …) → (x[0], x[E/2], x[1], x[E/2 + 1], …).

    Scores do not change, if queries and keys are both written so.
    """
    return x.reshape(*x.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2)


def _with_pairs_side_by_side(weight: Float[Tensor, "HE D"], head_dim: int) -> Float[Tensor, "HE D"]:
    """The matrix that makes heads in that order."""
    return pairs_side_by_side(weight.T.reshape(weight.shape[1], -1, head_dim)).flatten(-2).T


def _fuse(attention: SelfAttention) -> Float[Tensor, "QKV D"]:
    queries, keys = (
        _with_pairs_side_by_side(plain_weight(linear), attention.head_dim)
        for linear in (attention.q_proj, attention.k_proj)
    )
    return torch.cat((queries, keys, plain_weight(attention.v_proj)))


def attend(
    q_RGHE: Float[Tensor, "R G per E"],
    keys: Float[Tensor, "R G T E"],
    values: Float[Tensor, "R G T E"],
    mask: Bool[Tensor, "R 1 1 T"] | None,
) -> Float[Tensor, "R HE"]:
    """Query heads that share a key head stand where queries of several steps would.

    Of half-precision inputs PyTorch's kernels sum products and softmax in float32.
    """
    out = F.scaled_dot_product_attention(
        q_RGHE, keys, values, attn_mask=mask, scale=ATTENTION_SCALE
    )
    return out.flatten(1)


def _turn(heads_RHE: Float[Tensor, "R H E"], turns: Complex[Tensor, "R 1 half"]) -> None:
    """RoPE in place, in float32."""
    exact = heads_RHE.float()
    torch.view_as_complex(exact.view(*exact.shape[:-1], -1, 2)).mul_(turns)
    if exact is not heads_RHE:
        heads_RHE.copy_(exact)
