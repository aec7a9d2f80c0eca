"""The audio decoder: delayed codes and text states → states of the next step."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dialoom.model.attention import CrossAttention, KeyValues, SelfAttention
from dialoom.model.blocks import FeedForward, RMSNorm
from dialoom.model.config import DiaConfig, Revision
from dialoom.model.rope import RotaryTable, rotary_table
from dialoom.sequence import Packing, cross_mask


@dataclass(frozen=True)
class TextContext:
    """What every decoder layer attends to: text states, their mask, RoPE where a revision has it.

    Attributes:
        states: (B, S, De) of the encoder, whose width De is not the decoder's.
        mask: (B, 1, 1, S), None where no text is padded.
        rope_keys: rotation of the text's keys; None in revision 0626.
        packing: of a packed batch, whose one row holds all texts.
    """

    states: Float[Tensor, "B S De"]
    mask: Bool[Tensor, "B 1 1 S"] | None
    rope_keys: RotaryTable | None
    packing: Packing | None = None


class MultiChannelEmbedding(nn.Module):
    """One table for all channels; the input of a step is the sum of its channels' embeddings."""

    offsets: Tensor

    def __init__(self, num_channels: int, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_channels * vocab_size, hidden_size)
        self.register_buffer("offsets", torch.arange(num_channels) * vocab_size, persistent=False)

    def forward(self, audio_BTC: Int[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        rows = (audio_BTC + self.offsets).flatten(0, 1)
        summed = F.embedding_bag(rows, self.embed.weight, mode="sum")
        return summed.view(*audio_BTC.shape[:2], -1)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward: each behind a norm, added to its input."""

    def __init__(self, config: DiaConfig) -> None:
        super().__init__()
        decoder = config.decoder
        self.self_attention = SelfAttention(
            decoder.hidden_size,
            heads=decoder.num_attention_heads,
            kv_heads=decoder.num_key_value_heads,
            head_dim=decoder.head_dim,
        )
        self.cross_attention = CrossAttention(
            decoder.hidden_size,
            config.encoder.hidden_size,
            heads=decoder.cross_num_attention_heads,
            kv_heads=decoder.cross_num_key_value_heads,
            head_dim=decoder.cross_head_dim,
        )
        self.pre_sa_norm = RMSNorm(decoder.hidden_size, config.norm_eps)
        self.pre_ca_norm = RMSNorm(decoder.hidden_size, config.norm_eps)
        self.pre_mlp_norm = RMSNorm(decoder.hidden_size, config.norm_eps)
        self.mlp = FeedForward(decoder.hidden_size, decoder.intermediate_size)

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        rope: RotaryTable,
        text: TextContext,
        rope_queries: RotaryTable | None,
    ) -> Float[Tensor, "B T D"]:
        packing = text.packing
        x_BTD = x_BTD + self.self_attention(
            self.pre_sa_norm(x_BTD),
            rope,
            None,
            is_causal=True,
            spans=None if packing is None else packing.audio,
        )
        keys_values = self.cross_attention.keys_values(text.states, text.rope_keys)
        return self._after_self_attention(
            x_BTD, keys_values, text.mask, rope_queries, packing=packing
        )

    def _after_self_attention(
        self,
        x_BTD: Float[Tensor, "B T D"],
        text: KeyValues,
        text_mask: Bool[Tensor, "B 1 1 S"] | None,
        rope_queries: RotaryTable | None,
        *,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T D"]:
        normed = self.pre_ca_norm(x_BTD)
        x_BTD = x_BTD + self.cross_attention(normed, text, text_mask, rope_queries, packing=packing)
        out_BTD: Tensor = x_BTD + self.mlp(self.pre_mlp_norm(x_BTD))
        return out_BTD


class Decoder(nn.Module):
    """Delayed codes → states from which the next step is predicted."""

    def __init__(self, config: DiaConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = MultiChannelEmbedding(
            config.layout.num_channels, config.layout.vocab_size, config.decoder.hidden_size
        )
        self.layers = nn.ModuleList(
            DecoderLayer(config) for _ in range(config.decoder.num_hidden_layers)
        )
        self.norm = RMSNorm(config.decoder.hidden_size, config.norm_eps)

    def forward(
        self,
        audio_BTC: Int[Tensor, "B T C"],
        encoder_BSD: Float[Tensor, "B S De"],
        text_mask_BS: Bool[Tensor, "B S"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T D"]:
        """All steps at once. Padding is on the right, so causality alone keeps it out of sight."""
        positions = torch.arange(audio_BTC.shape[1], device=audio_BTC.device)
        if packing is not None:
            positions = packing.audio.positions_T
        rope, rope_queries = self.rope_tables(positions)
        text = self.text_context(encoder_BSD, text_mask_BS, packing)
        x_BTD = self.embeddings(audio_BTC)
        for layer in self.layers:
            x_BTD = layer(x_BTD, rope, text, rope_queries)
        normed: Tensor = self.norm(x_BTD)
        return normed

    @property
    def rotates_cross_attention(self) -> bool:
        return self.config.revision is Revision.APRIL_2025

    def rope_tables(self, positions: Int[Tensor, " T"]) -> tuple[RotaryTable, RotaryTable | None]:
        """Tables for self-attention, and for the queries of cross-attention if they rotate."""
        decoder, theta = self.config.decoder, self.config.rope_theta
        rope = rotary_table(positions, decoder.head_dim, theta)
        if not self.rotates_cross_attention:
            return rope, None
        return rope, rotary_table(positions, decoder.cross_head_dim, theta)

    def text_context(
        self,
        encoder_BSD: Float[Tensor, "B S De"],
        text_mask_BS: Bool[Tensor, "B S"] | None,
        packing: Packing | None = None,
    ) -> TextContext:
        """What the layers attend to, of the encoder's states."""
        rope_keys = None
        if self.rotates_cross_attention:
            positions = torch.arange(encoder_BSD.shape[1], device=encoder_BSD.device)
            if packing is not None:
                positions = packing.text.positions_T
            head_dim = self.config.decoder.cross_head_dim
            rope_keys = rotary_table(positions, head_dim, self.config.rope_theta)
        mask = None if text_mask_BS is None else cross_mask(text_mask_BS)
        return TextContext(encoder_BSD, mask, rope_keys, packing)
