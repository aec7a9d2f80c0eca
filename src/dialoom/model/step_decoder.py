"""The decoder one step at a time: the mathematics of `decoder.py`, arranged for generation.

What differs from the layers that are trained:

- the weights of queries, keys and values lie in one matrix, and pairs that RoPE turns lie side by
  side, so that turning them is one complex product;
- past keys and values stand in buffers of the full length, of which attention reads the used part;
- with guidance there are unconditional rows beside the conditional ones. Their text is zero bytes
  alone, whose states are all equal, and attention over equal values is that value, whatever its
  weights. So cross-attention adds the same vector to all of them.

Rows have positions of their own: a row whose prompt is longer is farther in its own sequence.
Shapes: R rows = B conditional ones, then, with guidance, the unconditional ones of the first U.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from dialoom.model.decoder import DecoderLayer, TextContext
from dialoom.model.dia import DiaModel
from dialoom.model.projection import Projection, Quantize, plain_weight
from dialoom.model.rope import rotary_table
from dialoom.model.step_layer import Place, StepLayer, StepNorm, pairs_side_by_side
from dialoom.model.step_memory import Opening, Span, StepMemory

NO_TEXT = (0,)
"""What an unconditional row reads: one zero byte stands for any number of them."""


class StepDecoder:
    """A model's decoder and head, ready for steps. Its weights are those of now, not of later."""

    @torch.no_grad()
    def __init__(self, model: DiaModel, quantize: Quantize | None = None) -> None:
        """Arranges the weights.

        Args:
            model: in evaluation mode, on the device and in the type to compute in.
            quantize: for the layers' matrices; embeddings, norms and head stay as they are.
        """
        self.config = model.config
        self._encoder, self._decoder = model.encoder, model.decoder
        self._embeddings = model.decoder.embeddings
        self.device, self.dtype = model.logits_dense.weight.device, model.logits_dense.weight.dtype
        self._no_text = self._read(NO_TEXT)
        rotates_text = model.decoder.rotates_cross_attention
        self._layers = [
            StepLayer(
                cast(DecoderLayer, layer),
                self._no_text,
                rotates_text=rotates_text,
                quantize=quantize,
            )
            for layer in model.decoder.layers
        ]
        self._norm = StepNorm(model.decoder.norm)
        self._head = Projection(plain_weight(model.logits_dense))
        decoder = model.config.decoder
        self._turns = self._all_turns(decoder.head_dim)
        self._text_turns = self._all_turns(decoder.cross_head_dim) if rotates_text else None

    def open(
        self, text_ids: Sequence[int], given_PC: Int[Tensor, "P C"], *, is_guided: bool
    ) -> Opening:
        """Reads a text and the given steps but the last, which is the input of the first new one.

        Args:
            text_ids: bytes of the text.
            given_PC: BOS and the prompt's steps, known on all channels.
            is_guided: whether an unconditional row goes beside.
        """
        text = self._read(text_ids)
        contexts = [text, self._no_text] if is_guided else [text]
        given_1PC = given_PC[None, :-1].to(self.device)
        pasts = [self._prefill(given_1PC, context) for context in contexts]
        return Opening(
            past=[torch.cat(layer) for layer in zip(*pasts, strict=True)],
            text=[layer.read(text) for layer in self._layers],
        )

    def step(
        self,
        tokens_RC: Int[Tensor, "R C"],
        memory: StepMemory,
        step_1: Int[Tensor, "1"],
        spans: Sequence[Span],
    ) -> Float[Tensor, "R C V"]:
        """Logits, in float32, of what follows the rows' tokens.

        Args:
            tokens_RC: of this step.
            memory: of the steps before; grows by this one.
            step_1: the number of this step, on the device.
            spans: `memory.spans` of it.
        """
        positions_R = memory.starts + step_1
        if memory.fixed_shapes:  # rows that have ended may stay a while
            positions_R = positions_R.clamp(max=self._turns.shape[0] - 1)
        place = Place(
            positions=positions_R,
            spans=spans,
            turns=self._turns.index_select(0, positions_R)[:, None],
            text_turns=self._turns_onto_text(positions_R[: len(memory.openings)]),
            mask=_filled(positions_R, spans[0].end) if memory.fixed_shapes else None,
        )
        rows = tokens_RC + self._embeddings.offsets
        x_RD = F.embedding_bag(rows, self._embeddings.embed.weight, mode="sum")
        for number, layer in enumerate(self._layers):
            x_RD = layer.step(x_RD, memory, number, place)
        logits = self._head(self._norm(x_RD)).float()
        return logits.view(logits.shape[0], self.config.layout.num_channels, -1)

    def _read(self, text_ids: Sequence[int]) -> TextContext:
        ids_1S = torch.tensor([list(text_ids)], device=self.device)
        return self._decoder.text_context(self._encoder(ids_1S), None)

    def _prefill(
        self, given_1PC: Int[Tensor, "1 P C"], text: TextContext
    ) -> list[Float[Tensor, "1 kv P E"]]:
        """Keys and values of all layers, through the layers as they are trained."""
        if given_1PC.shape[1] == 0:
            decoder = self.config.decoder
            shape = (1, 2 * decoder.num_key_value_heads, 0, decoder.head_dim)
            return [text.states.new_zeros(shape) for _ in self._layers]
        positions = torch.arange(given_1PC.shape[1], device=given_1PC.device)
        rope, rope_queries = self._decoder.rope_tables(positions)
        past = []
        x_1PD = self._embeddings(given_1PC)
        for layer in self._layers:
            trained = layer.trained
            new = trained.self_attention.keys_values(trained.pre_sa_norm(x_1PD), rope)
            past.append(torch.cat((pairs_side_by_side(new.keys), new.values), dim=1))
            x_1PD = trained(x_1PD, rope, text, rope_queries)
        return past

    def _all_turns(self, head_dim: int) -> Complex[Tensor, "T half"]:
        """RoPE's rotations of all positions, as complex numbers."""
        positions = torch.arange(self.config.decoder.max_position_embeddings, device=self.device)
        table = rotary_table(positions, head_dim, self.config.rope_theta)
        return torch.complex(table.cos, table.sin)

    def _turns_onto_text(
        self, positions_B: Int[Tensor, " B"]
    ) -> Complex[Tensor, "B 1 half"] | None:
        if self._text_turns is None:
            return None
        return self._text_turns.index_select(0, positions_B)[:, None]


def _filled(positions_R: Int[Tensor, " R"], window: int) -> Bool[Tensor, "R 1 1 T"]:
    """The part of the window that a row has filled, this step included."""
    places = torch.arange(window, device=positions_R.device)
    return (places <= positions_R[:, None])[:, None, None]
