"""Self- and cross-attention. Dia scales scores by 1.0, not by 1/√E: its weights carry the scale.

Shapes: B batch, T query steps, S text bytes, H query heads, G key/value heads, E head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dialoom.model.linear import Linear, linear
from dialoom.model.packed_attention import packed_attention
from dialoom.model.rope import RotaryTable, rotate
from dialoom.sequence import Packing, Spans

ATTENTION_SCALE = 1.0


@dataclass(frozen=True)
class KeyValues:
    """Projected keys and values, both (B, G, S, E)."""

    keys: Float[Tensor, "B G S E"]
    values: Float[Tensor, "B G S E"]


def _split_heads(x_BTD: Float[Tensor, "B T D"], head_dim: int) -> Float[Tensor, "B H T E"]:
    return x_BTD.view(*x_BTD.shape[:-1], -1, head_dim).transpose(1, 2)


def _merge_heads(x_BHTE: Float[Tensor, "B H T E"]) -> Float[Tensor, "B T D"]:
    return x_BHTE.transpose(1, 2).flatten(-2)


def _project_together(
    x_BTD: Float[Tensor, "B T D"], projections: Sequence[nn.Module]
) -> Sequence[Float[Tensor, "B T _"]]:
    """Several projections of one input as one product, if they are plain matrices.

    It reads the input once and, backward, sums one gradient of it instead of several. Weights keep
    their names and are put side by side anew for each product: cheap next to a product of many
    rows, which is why decoding step by step does without. Adapters and quantised weights are left
    to compute themselves.
    """
    plain = [p for p in projections if type(p) is Linear and type(p.weight) is nn.Parameter]
    if len(plain) < len(projections):
        return [projection(x_BTD) for projection in projections]
    together = linear(x_BTD, torch.cat([p.weight for p in plain]))
    return torch.split(together, [p.out_features for p in plain], dim=-1)


class _Projections(nn.Module):
    """The four projections that self- and cross-attention have in common, under Dia's names."""

    def __init__(
        self, hidden_size: int, context_size: int, *, heads: int, kv_heads: int, head_dim: int
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.shares_keys = heads != kv_heads
        self.q_proj = Linear(hidden_size, heads * head_dim)
        self.k_proj = Linear(context_size, kv_heads * head_dim)
        self.v_proj = Linear(context_size, kv_heads * head_dim)
        self.o_proj = Linear(heads * head_dim, hidden_size)

    def queries(
        self, x_BTD: Float[Tensor, "B T D"], rope: RotaryTable | None
    ) -> Float[Tensor, "B H T E"]:
        q_BHTE = _split_heads(self.q_proj(x_BTD), self.head_dim)
        return q_BHTE if rope is None else rotate(q_BHTE, rope)

    def keys_values(self, x_BSD: Float[Tensor, "B S D"], rope: RotaryTable | None) -> KeyValues:
        """Projects the sequence that is attended to."""
        keys_BSD, values_BSD = _project_together(x_BSD, (self.k_proj, self.v_proj))
        return self._with_heads(keys_BSD, values_BSD, rope)

    def _with_heads(
        self,
        keys_BSD: Float[Tensor, "B S _"],
        values_BSD: Float[Tensor, "B S _"],
        rope: RotaryTable | None,
    ) -> KeyValues:
        keys = _split_heads(keys_BSD, self.head_dim)
        values = _split_heads(values_BSD, self.head_dim)
        return KeyValues(keys if rope is None else rotate(keys, rope), values)

    def attend(
        self,
        q_BHTE: Float[Tensor, "B H T E"],
        context: KeyValues,
        *,
        mask: Bool[Tensor, "B 1 #T S"] | None = None,
        is_causal: bool = False,
        spans: tuple[Spans, Spans] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Attention and the projection behind it; `spans` of queries and keys of a packed row."""
        if spans is not None:
            out_THE = packed_attention(
                q_BHTE[0].transpose(0, 1),
                context.keys[0].transpose(0, 1),
                context.values[0].transpose(0, 1),
                spans,
                is_causal=is_causal,
                scale=ATTENTION_SCALE,
            )
            out_TD: Tensor = self.o_proj(out_THE.flatten(1))
            return out_TD[None]
        out_BHTE = F.scaled_dot_product_attention(
            q_BHTE,
            context.keys,
            context.values,
            attn_mask=mask,
            is_causal=is_causal,
            scale=ATTENTION_SCALE,
            enable_gqa=self.shares_keys,
        )
        projected: Tensor = self.o_proj(_merge_heads(out_BHTE))
        return projected


class SelfAttention(_Projections):
    """Attention of a sequence onto itself, with RoPE."""

    def __init__(self, hidden_size: int, *, heads: int, kv_heads: int, head_dim: int) -> None:
        super().__init__(
            hidden_size, hidden_size, heads=heads, kv_heads=kv_heads, head_dim=head_dim
        )

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        rope: RotaryTable,
        mask: Bool[Tensor, "B 1 #T T"] | None,
        *,
        is_causal: bool = False,
        spans: Spans | None = None,
    ) -> Float[Tensor, "B T D"]:
        q_BTD, keys_BTD, values_BTD = _project_together(
            x_BTD, (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.attend(
            rotate(_split_heads(q_BTD, self.head_dim), rope),
            self._with_heads(keys_BTD, values_BTD, rope),
            mask=mask,
            is_causal=is_causal,
            spans=None if spans is None else (spans, spans),
        )


class CrossAttention(_Projections):
    """Attention of the audio onto the text; with RoPE in the April 2025 revision only."""

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        text: KeyValues,
        mask: Bool[Tensor, "B 1 1 S"] | None,
        rope: RotaryTable | None,
        *,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T D"]:
        spans = None if packing is None else (packing.audio, packing.text)
        return self.attend(self.queries(x_BTD, rope), text, mask=mask, spans=spans)
