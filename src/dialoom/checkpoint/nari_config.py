"""config.json of nari's own code ↔ our DiaConfig, in its two schemas.

The schema says the revision: that of April 2025 has sections model, data and training, the present
one has transformers' sections and came with the weights of 0626.
"""

from typing import Any

from dialoom.checkpoint.transformers_config import (
    count,
    delay_pattern,
    positive,
    section,
    to_transformers_config,
)
from dialoom.errors import CheckpointError
from dialoom.model import DecoderConfig, DiaConfig, EncoderConfig, Revision
from dialoom.sequence import TokenLayout

_LENGTH_MULTIPLE = 128
"""April's code rounds text and audio lengths up to multiples of it."""


def is_april_schema(data: dict[str, Any]) -> bool:
    """Whether a config.json is of the schema that nari's code had until 0626."""
    return isinstance(data.get("model"), dict) and isinstance(data.get("data"), dict)


def to_nari_config(config: DiaConfig) -> dict[str, Any]:
    """What nari's code of the model's revision reads.

    Raises:
        CheckpointError: an April model of a shape that the old schema has no words for.
    """
    if config.revision is Revision.APRIL_2025:
        _refuse_unspeakable(config)
        return _to_april(config)
    layout = config.layout
    data = to_transformers_config(config)
    for part in ("encoder_config", "decoder_config"):
        rope = data[part].pop("rope_parameters")
        data[part] |= {"rope_theta": rope["rope_theta"], "rope_scaling": None}
    return data | {
        "bos_token_id": layout.bos_id,
        "eos_token_id": layout.eos_id,
        "pad_token_id": layout.pad_id,
    }


def _to_april(config: DiaConfig) -> dict[str, Any]:
    encoder, decoder, layout = config.encoder, config.decoder, config.layout
    return {
        "version": "1.0",
        "model": {
            "encoder": {
                "n_layer": encoder.num_hidden_layers,
                "n_embd": encoder.hidden_size,
                "n_hidden": encoder.intermediate_size,
                "n_head": encoder.num_attention_heads,
                "head_dim": encoder.head_dim,
            },
            "decoder": {
                "n_layer": decoder.num_hidden_layers,
                "n_embd": decoder.hidden_size,
                "n_hidden": decoder.intermediate_size,
                "gqa_query_heads": decoder.num_attention_heads,
                "kv_heads": decoder.num_key_value_heads,
                "gqa_head_dim": decoder.head_dim,
                "cross_query_heads": decoder.cross_num_attention_heads,
                "cross_head_dim": decoder.cross_head_dim,
            },
            "src_vocab_size": encoder.vocab_size,
            "tgt_vocab_size": layout.vocab_size,
            "normalization_layer_epsilon": config.norm_eps,
            "rope_min_timescale": 1,
            "rope_max_timescale": int(config.rope_theta),
        },
        "training": {},
        "data": {
            "text_length": encoder.max_position_embeddings,
            "audio_length": decoder.max_position_embeddings,
            "channels": layout.num_channels,
            "text_pad_value": 0,
            "audio_eos_value": layout.eos_id,
            "audio_pad_value": layout.pad_id,
            "audio_bos_value": layout.bos_id,
            "delay_pattern": list(layout.delay_pattern),
        },
    }


def from_april_config(data: dict[str, Any], *, revision: Revision) -> DiaConfig:
    """Inverse of `to_nari_config` for April models; what is left out is as in nari's code.

    Args:
        data: the whole config.json.
        revision: 2025-04, unless a person says otherwise of weights that stand beside it.

    Raises:
        CheckpointError: a field is missing or no number.
    """
    try:
        model, lengths = section(data, "model"), section(data, "data")
        if positive(model, "rope_min_timescale", 1) != 1:
            raise CheckpointError(
                f"config.json: rope_min_timescale is {model['rope_min_timescale']}, Dia has 1"
            )
        delays = delay_pattern(lengths.get("delay_pattern", list(TokenLayout().delay_pattern)))
        eos_id = count(lengths, "audio_eos_value", 1024)
        return DiaConfig(
            encoder=_april_encoder(model, lengths),
            decoder=_april_decoder(section(model, "decoder"), lengths),
            layout=TokenLayout(
                delay_pattern=delays,
                codebook_size=eos_id,
                eos_id=eos_id,
                pad_id=count(lengths, "audio_pad_value", 1025),
                bos_id=count(lengths, "audio_bos_value", 1026),
                vocab_size=count(model, "tgt_vocab_size", 1028),
            ),
            revision=revision,
            norm_eps=positive(model, "normalization_layer_epsilon", 1e-5),
            rope_theta=positive(model, "rope_max_timescale", 10_000),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"config.json is no complete Dia configuration: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"config.json: {error}") from None


def _april_encoder(model: dict[str, Any], lengths: dict[str, Any]) -> EncoderConfig:
    encoder = section(model, "encoder")
    return EncoderConfig(
        num_hidden_layers=count(encoder, "n_layer"),
        hidden_size=count(encoder, "n_embd"),
        num_attention_heads=count(encoder, "n_head"),
        num_key_value_heads=count(encoder, "n_head"),
        head_dim=count(encoder, "head_dim"),
        intermediate_size=count(encoder, "n_hidden"),
        max_position_embeddings=_rounded(count(lengths, "text_length")),
        vocab_size=count(model, "src_vocab_size", 128),
    )


def _april_decoder(decoder: dict[str, Any], lengths: dict[str, Any]) -> DecoderConfig:
    return DecoderConfig(
        num_hidden_layers=count(decoder, "n_layer"),
        hidden_size=count(decoder, "n_embd"),
        num_attention_heads=count(decoder, "gqa_query_heads"),
        num_key_value_heads=count(decoder, "kv_heads"),
        head_dim=count(decoder, "gqa_head_dim"),
        cross_num_attention_heads=count(decoder, "cross_query_heads"),
        cross_num_key_value_heads=count(decoder, "cross_query_heads"),
        cross_head_dim=count(decoder, "cross_head_dim"),
        intermediate_size=count(decoder, "n_hidden"),
        max_position_embeddings=_rounded(count(lengths, "audio_length")),
    )


def _rounded(length: int) -> int:
    return -(-length // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE


def _refuse_unspeakable(config: DiaConfig) -> None:
    encoder, decoder = config.encoder, config.decoder
    lengths = (encoder.max_position_embeddings, decoder.max_position_embeddings)
    speakable = (
        encoder.num_key_value_heads == encoder.num_attention_heads
        and decoder.cross_num_key_value_heads == decoder.cross_num_attention_heads
        and all(length % _LENGTH_MULTIPLE == 0 for length in lengths)
        and config.rope_theta == int(config.rope_theta)
    )
    if not speakable:
        raise CheckpointError(
            "nari's config.json of April 2025 cannot say this model's shape: only decoder "
            f"self-attention may share keys, and lengths are multiples of {_LENGTH_MULTIPLE}"
        )
