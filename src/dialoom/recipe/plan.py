"""What a recipe will cost, before it runs: memory by part, FLOPs, time.

Memory of a GPU that trains by a recipe, in bytes, for P parameters of which P' train:

- weights: 4 · P; 2 · P where they lie in bf16 and 4 for what an adapter trains
- gradients: as many bytes as the weights that train
- copies: where weights in fp32 are multiplied in 16 bits, 2 for each of a linear map; autograd
  keeps them until the backward pass
- moments: AdamW 8 · P'; in 8 bits 2 · P' and a float32 for every 256 of both, 2.03 · P'
- average: as the weights that train
- activations: of the largest micro-batch, see `activation_bytes`
- head: logits and their gradient of one chunk of rows in float32, 8 · rows · C · V

Time is FLOPs over what the device achieves, which only a measurement knows.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dialoom.data import Mixture
from dialoom.loss import ROWS_PER_CHUNK
from dialoom.model import DiaConfig, DiaModel
from dialoom.recipe.run import open_datasets, open_feeds, open_model
from dialoom.recipe.settings import load_recipe
from dialoom.train import TrainSettings, moment_bytes, planned_steps

RESERVE_BYTES = 1_000_000_000
"""Of CUDA itself, and of what its allocator cannot give out in pieces."""


@dataclass(frozen=True)
class Plan:
    """The cost of a recipe.

    Attributes:
        num_parameters: of the model.
        num_trained: those with a gradient.
        memory_bytes: by part.
        steps: optimizer steps of the run.
        audio_hours: speech that it hears, repetitions included.
        flops: forward and backward of the whole run.
    """

    num_parameters: int
    num_trained: int
    memory_bytes: dict[str, int]
    steps: int
    audio_hours: float
    flops: float

    @property
    def total_bytes(self) -> int:
        return sum(self.memory_bytes.values())

    def seconds(self, tflops: float) -> float:
        """Time at so many TFLOP/s of useful work."""
        return self.flops / (tflops * 1e12)


@dataclass(frozen=True)
class Extent:
    """Places of a batch, padding included."""

    num_bytes: int
    num_steps: int


def plan(recipe: str | Path, overrides: list[str] | None = None) -> Plan:
    """The cost of a recipe file; reads the corpus' lengths and the model, computes nothing.

    Raises:
        UserError: as `train`.
    """
    settings = load_recipe(Path(recipe), overrides)
    corpus = Mixture.open(settings.data.shares)
    loaded = open_model(settings, corpus, None)
    datasets = open_datasets(settings, corpus, loaded)
    feed, _ = open_feeds(settings, corpus, datasets, loaded)
    largest = feed.largest()
    extent = Extent(largest.text_BS.numel(), largest.audio_BTC[..., 0].numel())
    if settings.train.memory_steps is not None and settings.train.memory_steps < extent.num_steps:
        share = settings.train.memory_steps / extent.num_steps
        extent = Extent(int(extent.num_bytes * share), settings.train.memory_steps)
    steps = planned_steps(settings.train, feed.batches_per_epoch)
    epochs = steps * settings.train.accumulate / feed.batches_per_epoch
    training = datasets[0]
    frames = int(sum(training.lengths) * epochs)
    text_share = largest.num_text_bytes / max(1, sum(largest.audio_lengths))
    model = loaded.model
    return Plan(
        num_parameters=model.num_parameters,
        num_trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        memory_bytes=memory_by_part(model, settings.train, extent),
        steps=steps,
        audio_hours=frames / corpus.codec.frames_per_second / 3600,
        flops=flops(model.config, Extent(int(frames * text_share), frames)),
    )


def memory_by_part(model: DiaModel, settings: TrainSettings, extent: Extent) -> dict[str, int]:
    """Bytes by part, as the formulas at the top of this file have them."""
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gradients = sum(p.numel() * p.element_size() for p in trained)
    layout = model.config.layout
    rows = min(extent.num_steps, ROWS_PER_CHUNK["cuda"])
    parts = {
        "weights": weights,
        "gradients": gradients,
        "copies": _copy_bytes(model, settings),
        "moments": moment_bytes(model, settings),
        "average": gradients if settings.ema_decay is not None else 0,
        "activations": activation_bytes(model.config, settings, extent),
        "head": 8 * rows * layout.num_channels * layout.vocab_size,
        "reserve": RESERVE_BYTES,
    }
    return {name: size for name, size in parts.items() if size}


def _copy_bytes(model: DiaModel, settings: TrainSettings) -> int:
    """What autocast makes of the matrices that it multiplies by."""
    if settings.precision == "fp32":
        return 0
    matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    return sum(2 * w.numel() for w in matrices if w.dtype is torch.float32)


def activation_bytes(config: DiaConfig, settings: TrainSettings, extent: Extent) -> int:
    """What autograd keeps of a micro-batch, in bytes.

    With w bytes of a computed number (2 in bf16, 4 in fp32), a layer of width D with Q of queries,
    K of keys and F in the feed-forward keeps at every place

    - of each norm the stream and its normed form in fp32 and what the linear maps read: (8 + w) · D
    - of self-attention queries, keys and values, before and after RoPE, and the output twice:
      w · (4 · Q + 4 · K); of cross-attention queries and output twice, w · 4 · Qc
    - of SwiGLU gate, up, silu(gate) and their product: w · 4 · F

    and at every byte of the text each decoder layer keeps cross-attention's keys and values,
    w · 2 · Kc. A layer that computes its activations again keeps its input, 4 · D.
    """
    w = 4 if settings.precision == "fp32" else 2
    encoder, decoder = config.encoder, config.decoder
    queries = encoder.num_attention_heads * encoder.head_dim
    keys = encoder.num_key_value_heads * encoder.head_dim
    of_encoder = (
        2 * (8 + w) * encoder.hidden_size
        + w * (4 * queries + 4 * keys)
        + 4 * w * encoder.intermediate_size
    )
    queries = decoder.num_attention_heads * decoder.head_dim
    keys = decoder.num_key_value_heads * decoder.head_dim
    crossed = decoder.cross_num_attention_heads * decoder.cross_head_dim
    of_decoder = (
        3 * (8 + w) * decoder.hidden_size
        + w * (4 * queries + 4 * keys)
        + 4 * w * crossed
        + 4 * w * decoder.intermediate_size
    )
    of_cross = 2 * w * decoder.cross_num_key_value_heads * decoder.cross_head_dim
    encoder_layers, decoder_layers = encoder.num_hidden_layers, decoder.num_hidden_layers
    at_byte = decoder_layers * of_cross + _kept(
        settings, encoder_layers, of_encoder, 4 * encoder.hidden_size
    )
    at_step = _kept(settings, decoder_layers, of_decoder, 4 * decoder.hidden_size)
    return extent.num_bytes * at_byte + extent.num_steps * at_step


def _kept(settings: TrainSettings, num_layers: int, of_layer: int, of_input: int) -> int:
    """Bytes a place that a stack keeps; where layers are computed again, one at a time is whole."""
    if settings.recompute == "none":
        return num_layers * of_layer
    every = 1 if settings.recompute == "all" else settings.recompute
    num_again = -(-num_layers // every)
    return num_again * of_input + (num_layers - num_again + 1) * of_layer


def flops(config: DiaConfig, extent: Extent) -> float:
    """Useful FLOPs of forward and backward: 6 for every weight of a linear map at every place.

    Attention's own products, 12 · T · D a layer and step, are below 5 % for clips of 10 s and left
    out (Kaplan et al., arXiv 2001.08361).
    """
    encoder, decoder = config.encoder, config.decoder
    heads = encoder.num_attention_heads + encoder.num_key_value_heads
    of_encoder = encoder.hidden_size * (
        2 * heads * encoder.head_dim + 3 * encoder.intermediate_size
    )
    heads = decoder.num_attention_heads + decoder.num_key_value_heads
    of_decoder = decoder.hidden_size * (
        2 * heads * decoder.head_dim
        + 2 * decoder.cross_num_attention_heads * decoder.cross_head_dim
        + 3 * decoder.intermediate_size
    )
    of_cross = 2 * encoder.hidden_size * decoder.cross_num_key_value_heads * decoder.cross_head_dim
    head = decoder.hidden_size * config.layout.num_channels * config.layout.vocab_size
    at_bytes = encoder.num_hidden_layers * of_encoder + decoder.num_hidden_layers * of_cross
    at_steps = decoder.num_hidden_layers * of_decoder + head
    return 6.0 * (extent.num_bytes * at_bytes + extent.num_steps * at_steps)
