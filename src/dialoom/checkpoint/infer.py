"""The configuration of bare weights, as far as their shapes tell it."""

import re
from dataclasses import replace

from dialoom.checkpoint.nari_weights import is_nari, model_shapes
from dialoom.checkpoint.tensor_files import Shapes
from dialoom.errors import CheckpointError
from dialoom.model import PRESETS, DecoderConfig, DiaConfig, EncoderConfig, Revision
from dialoom.sequence import TokenLayout


def infer_config(shapes: Shapes, revision: Revision, *, where: str) -> DiaConfig:
    """The configuration whose weights have these shapes.

    nari's kernels show everything but the longest text and audio, which are taken to be Dia's.
    Our matrices, which are transformers', do not show the size of a head: they must be those of a
    shape that is known by name.

    Raises:
        CheckpointError: the shapes do not say it.
    """
    if is_nari(shapes):
        _refuse_other_layout(shapes, where)
        return _from_kernels(shapes, revision, where)
    for preset in PRESETS.values():
        if model_shapes(preset) == {name: tuple(shape) for name, shape in shapes.items()}:
            return replace(preset, revision=revision)
    raise CheckpointError(
        f"{where}: these tensors are of no shape that is known by name ({', '.join(PRESETS)}): put "
        "the config.json of the model beside the file, or give its directory"
    )


def _from_kernels(shapes: Shapes, revision: Revision, where: str) -> DiaConfig:
    try:
        encoder, decoder = "encoder.layers.0.", "decoder.layers.0."
        text_vocab_size, encoder_size = shapes["encoder.embedding.weight"]
        _, heads, head_dim = shapes[encoder + "self_attention.q_proj.weight"]
        _, own_heads, own_head_dim = shapes[decoder + "self_attention.q_proj.weight"]
        _, cross_heads, cross_head_dim = shapes[decoder + "cross_attention.q_proj.weight"]
        return DiaConfig(
            encoder=EncoderConfig(
                num_hidden_layers=_num_layers(shapes, "encoder"),
                hidden_size=encoder_size,
                num_attention_heads=heads,
                num_key_value_heads=shapes[encoder + "self_attention.k_proj.weight"][1],
                head_dim=head_dim,
                intermediate_size=shapes[encoder + "mlp.wi_fused.weight"][2],
                vocab_size=text_vocab_size,
            ),
            decoder=DecoderConfig(
                num_hidden_layers=_num_layers(shapes, "decoder"),
                hidden_size=shapes["decoder.logits_dense.weight"][0],
                num_attention_heads=own_heads,
                num_key_value_heads=shapes[decoder + "self_attention.k_proj.weight"][1],
                head_dim=own_head_dim,
                cross_num_attention_heads=cross_heads,
                cross_num_key_value_heads=shapes[decoder + "cross_attention.k_proj.weight"][1],
                cross_head_dim=cross_head_dim,
                intermediate_size=shapes[decoder + "mlp.wi_fused.weight"][2],
            ),
            revision=revision,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{where}: these are no weights of Dia ({error})") from None


def _refuse_other_layout(shapes: Shapes, where: str) -> None:
    layout = TokenLayout()
    found = tuple(shapes["decoder.logits_dense.weight"][1:])
    if found != (layout.num_channels, layout.vocab_size):
        raise CheckpointError(
            f"{where}: channels and ids {found} are not Dia's "
            f"{(layout.num_channels, layout.vocab_size)}, and bare weights do not say how late "
            "each channel is: put the config.json of the model beside the file"
        )


def _num_layers(shapes: Shapes, part: str) -> int:
    pattern = re.compile(rf"{part}\.layers\.(\d+)\.")
    return 1 + max(int(match[1]) for name in shapes if (match := pattern.match(name)))
