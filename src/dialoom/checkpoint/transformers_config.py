"""config.json: our DiaConfig ↔ transformers' dictionary. Pure functions, inverse to each other."""

import math
from dataclasses import asdict, fields
from typing import Any

from dialoom.errors import CheckpointError
from dialoom.model import DecoderConfig, DiaConfig, EncoderConfig, Revision
from dialoom.sequence import TokenLayout

ARCHITECTURE = "DiaForConditionalGeneration"

MAX_COUNT = 2**20
"""Far beyond any width or length of Dia, and small enough for the size of every product of two."""


def to_transformers_config(config: DiaConfig) -> dict[str, Any]:
    """What transformers' DiaConfig reads. The revision is not in it: it knows only 0626."""
    layout = config.layout
    rope = {"rope_theta": config.rope_theta, "rope_type": "default"}
    shared = {"hidden_act": "silu", "norm_eps": config.norm_eps, "rope_parameters": rope}
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "dia",
        "is_encoder_decoder": True,
        "norm_eps": config.norm_eps,
        "delay_pattern": list(layout.delay_pattern),
        "encoder_config": {"model_type": "dia_encoder", **shared, **asdict(config.encoder)},
        "decoder_config": {
            "model_type": "dia_decoder",
            **shared,
            **asdict(config.decoder),
            "cross_hidden_size": config.encoder.hidden_size,
            "num_channels": layout.num_channels,
            "vocab_size": layout.vocab_size,
            "eos_token_id": layout.eos_id,
            "pad_token_id": layout.pad_id,
            "bos_token_id": layout.bos_id,
        },
    }


def from_transformers_config(data: dict[str, Any], *, revision: Revision) -> DiaConfig:
    """Inverse of `to_transformers_config`; the revision comes from elsewhere.

    Raises:
        CheckpointError: the dictionary is not a Dia configuration, or names a variant that Dia
            does not have.
    """
    if data.get("model_type") != "dia":
        raise CheckpointError(
            f"config.json is of model_type {data.get('model_type')!r}, expected 'dia'"
        )
    try:
        encoder, decoder = section(data, "encoder_config"), section(data, "decoder_config")
        _refuse_variants(encoder, decoder)
        delays = delay_pattern(data["delay_pattern"])
        if len(delays) != count(decoder, "num_channels"):
            raise CheckpointError(
                f"config.json has {len(delays)} delays for {decoder['num_channels']} channels"
            )
        eos_id = _special_id(data, decoder, "eos_token_id", 1024)
        return DiaConfig(
            encoder=EncoderConfig(**_fields_of(EncoderConfig, encoder)),
            decoder=DecoderConfig(**_fields_of(DecoderConfig, decoder)),
            layout=TokenLayout(
                delay_pattern=delays,
                codebook_size=eos_id,
                eos_id=eos_id,
                pad_id=_special_id(data, decoder, "pad_token_id", 1025),
                bos_id=_special_id(data, decoder, "bos_token_id", 1026),
                vocab_size=count(decoder, "vocab_size"),
            ),
            revision=revision,
            norm_eps=positive(decoder, "norm_eps", 1e-5),
            rope_theta=_rope_theta(decoder),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"config.json is no complete Dia configuration: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"config.json: {error}") from None


def _special_id(data: dict[str, Any], decoder: dict[str, Any], name: str, default: int) -> int:
    """The published Dia-1.6B-0626 has these ids at the top, and there they win in transformers."""
    return count(decoder if data.get(name) is None else data, name, default)


def _rope_theta(part: dict[str, Any]) -> float:
    """Older transformers and nari's code have it beside the other fields."""
    nested = _rope(part)
    return positive(nested if "rope_theta" in nested else part, "rope_theta", 1e4)


def _rope(part: dict[str, Any]) -> dict[str, Any]:
    return section(part, "rope_parameters") if part.get("rope_parameters") is not None else {}


def _fields_of(kind: type, data: dict[str, Any]) -> dict[str, int]:
    names = (field.name for field in fields(kind))
    return {name: count(data, name) for name in names if name in data}


def section(data: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of config.json.

    Raises:
        CheckpointError: it is no object.
        KeyError: it is missing.
    """
    if not isinstance(data[name], dict):
        raise CheckpointError(f"config.json: {name} is {data[name]!r}, it must be an object")
    return dict(data[name])


def count(data: dict[str, Any], name: str, default: int | None = None) -> int:
    """A width, length, number or id of config.json.

    Raises:
        CheckpointError: it is no whole number from 1 to `MAX_COUNT`.
        KeyError: it is missing, and there is no default.
    """
    value = data[name] if default is None else data.get(name, default)
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise CheckpointError(
            f"config.json: {name} is {value!r}, it must be a whole number from 1 to {MAX_COUNT}"
        )
    return value


def positive(data: dict[str, Any], name: str, default: float) -> float:
    """A number above 0 of config.json.

    Raises:
        CheckpointError: it is none.
    """
    value = data.get(name, default)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise CheckpointError(f"config.json: {name} is {value!r}, it must be a number above 0")
    return float(value)


def delay_pattern(value: object) -> tuple[int, ...]:
    """The delays of config.json.

    Raises:
        CheckpointError: they are no list of whole numbers.
    """
    if not isinstance(value, list) or any(type(delay) is not int for delay in value):
        raise CheckpointError(
            f"config.json: delay_pattern is {value!r}, it must be a list of whole numbers"
        )
    return tuple(value)


def _refuse_variants(encoder: dict[str, Any], decoder: dict[str, Any]) -> None:
    """What transformers' configuration could say and Dia's mathematics here does not cover."""
    for name, part in (("encoder_config", encoder), ("decoder_config", decoder)):
        activation = part.get("hidden_act", "silu")
        rope_type = _rope(part).get("rope_type", "default")
        if activation != "silu":
            raise CheckpointError(
                f"config.json: {name}.hidden_act is {activation!r}, Dia has 'silu'"
            )
        if rope_type != "default":
            raise CheckpointError(
                f"config.json: {name}.rope_parameters.rope_type is {rope_type!r}, Dia has 'default'"
            )
        if part.get("rope_scaling") is not None:
            raise CheckpointError(f"config.json: {name}.rope_scaling is set, Dia has none")
    if _rope_theta(encoder) != _rope_theta(decoder):
        raise CheckpointError(
            f"config.json: rope_theta is {_rope_theta(encoder)} in the encoder and "
            f"{_rope_theta(decoder)} in the decoder, Dia has one"
        )
    if decoder.get("cross_hidden_size", encoder.get("hidden_size")) != encoder.get("hidden_size"):
        raise CheckpointError(
            f"config.json: cross_hidden_size {decoder.get('cross_hidden_size')} is not the "
            f"encoder's hidden_size {encoder.get('hidden_size')}"
        )
