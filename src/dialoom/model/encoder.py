"""The text encoder: bytes → states, bidirectional, with RoPE."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dialoom.model.attention import SelfAttention
from dialoom.model.blocks import FeedForward, RMSNorm
from dialoom.model.config import DiaConfig
from dialoom.model.rope import RotaryTable, rotary_table
from dialoom.sequence import Spans, encoder_self_mask


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, config: DiaConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.pre_sa_norm = RMSNorm(encoder.hidden_size, config.norm_eps)
        self.self_attention = SelfAttention(
            encoder.hidden_size,
            heads=encoder.num_attention_heads,
            kv_heads=encoder.num_key_value_heads,
            head_dim=encoder.head_dim,
        )
        self.post_sa_norm = RMSNorm(encoder.hidden_size, config.norm_eps)
        self.mlp = FeedForward(encoder.hidden_size, encoder.intermediate_size)

    def forward(
        self,
        x_BSD: Float[Tensor, "B S D"],
        rope: RotaryTable,
        mask: Bool[Tensor, "B 1 1 S"] | None,
        spans: Spans | None = None,
    ) -> Float[Tensor, "B S D"]:
        x_BSD = x_BSD + self.self_attention(self.pre_sa_norm(x_BSD), rope, mask, spans=spans)
        out_BSD: Tensor = x_BSD + self.mlp(self.post_sa_norm(x_BSD))
        return out_BSD


class Encoder(nn.Module):
    """Text bytes → states."""

    def __init__(self, config: DiaConfig) -> None:
        super().__init__()
        self.head_dim = config.encoder.head_dim
        self.rope_theta = config.rope_theta
        self.embedding = nn.Embedding(config.encoder.vocab_size, config.encoder.hidden_size)
        self.layers = nn.ModuleList(
            EncoderLayer(config) for _ in range(config.encoder.num_hidden_layers)
        )
        self.norm = RMSNorm(config.encoder.hidden_size, config.norm_eps)

    def forward(
        self,
        text_BS: Int[Tensor, "B S"],
        text_mask_BS: Bool[Tensor, "B S"] | None = None,
        spans: Spans | None = None,
    ) -> Float[Tensor, "B S D"]:
        """Encodes.

        Args:
            text_BS: byte ids.
            text_mask_BS: needed only where texts of the batch differ in length.
            spans: of the texts of a packed row.
        """
        positions = torch.arange(text_BS.shape[1], device=text_BS.device)
        if spans is not None:
            positions = spans.positions_T
        rope = rotary_table(positions, self.head_dim, self.rope_theta)
        mask = None if text_mask_BS is None else encoder_self_mask(text_mask_BS)
        x_BSD = self.embedding(text_BS)
        for layer in self.layers:
            x_BSD = layer(x_BSD, rope, mask, spans)
        normed: Tensor = self.norm(x_BSD)
        return normed
