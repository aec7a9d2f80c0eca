"""DiaModel: text bytes and delayed codes → logits of every channel's next step.

Parameter names are those of transformers' DiaForConditionalGeneration, so that a state dict of one
is a state dict of the other.
"""

from typing import cast

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dialoom.model.config import DiaConfig
from dialoom.model.decoder import Decoder
from dialoom.model.encoder import Encoder
from dialoom.model.linear import Linear
from dialoom.sequence import Packing


class DiaModel(nn.Module):
    """Encoder, decoder and one head of C × V logits."""

    def __init__(self, config: DiaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = nn.ModuleDict({"encoder": Encoder(config), "decoder": Decoder(config)})
        self.logits_dense = Linear(
            config.decoder.hidden_size, config.layout.num_channels * config.layout.vocab_size
        )

    @property
    def encoder(self) -> Encoder:
        return cast(Encoder, self.model["encoder"])

    @property
    def decoder(self) -> Decoder:
        return cast(Decoder, self.model["decoder"])

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(
        self,
        text_BS: Int[Tensor, "B S"],
        audio_BTC: Int[Tensor, "B T C"],
        text_mask_BS: Bool[Tensor, "B S"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T C V"]:
        """Teacher-forced logits: row t predicts step t + 1. Arguments as those of `states`."""
        return self.head(self.states(text_BS, audio_BTC, text_mask_BS, packing))

    def states(
        self,
        text_BS: Int[Tensor, "B S"],
        audio_BTC: Int[Tensor, "B T C"],
        text_mask_BS: Bool[Tensor, "B S"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T D"]:
        """What `head` makes the logits of; a loss can do so piece by piece.

        Args:
            text_BS: byte ids, zero-padded on the right.
            audio_BTC: decoder steps 0 … n-2, padded on the right.
            text_mask_BS: True for bytes that may be attended to; None where all may.
            packing: of a packed batch, which has one row of text and one of audio.
        """
        encoder_BSD = self.encoder(text_BS, text_mask_BS, None if packing is None else packing.text)
        hidden: Tensor = self.decoder(audio_BTC, encoder_BSD, text_mask_BS, packing)
        return hidden

    def head(self, hidden_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T C V"]:
        """Decoder states → logits."""
        logits: Tensor = self.logits_dense(hidden_BTD)
        return logits.view(*logits.shape[:-1], self.config.layout.num_channels, -1)
