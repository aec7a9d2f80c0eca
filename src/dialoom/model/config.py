"""The shape of a Dia model. Field names are transformers', so a config translates one to one."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from dialoom.errors import CheckpointError
from dialoom.sequence import TokenLayout


class Revision(StrEnum):
    """Two mathematics under one set of parameter names and shapes.

    Weights of one load without error into the other and speak noise, so a model always says which
    it is: Dia-1.6B rotates queries and keys of cross-attention with RoPE, Dia-1.6B-0626 does not.
    """

    APRIL_2025 = "2025-04"
    JUNE_2025 = "0626"

    @classmethod
    def parse(cls, value: str) -> "Revision":
        """The revision of that name.

        Raises:
            CheckpointError: there is no such revision.
        """
        try:
            return cls(value)
        except ValueError:
            choices = " or ".join(f"'{revision}'" for revision in cls)
            raise CheckpointError(f"revision {value!r} is unknown: take {choices}") from None


@dataclass(frozen=True)
class EncoderConfig:
    """The text encoder; defaults are Dia-1.6B's."""

    num_hidden_layers: int = 12
    hidden_size: int = 1024
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    head_dim: int = 128
    intermediate_size: int = 4096
    max_position_embeddings: int = 1024
    vocab_size: int = 256

    def __post_init__(self) -> None:
        _check_heads("encoder", self.num_attention_heads, self.num_key_value_heads, self.head_dim)


@dataclass(frozen=True)
class DecoderConfig:
    """The audio decoder; defaults are Dia-1.6B's."""

    num_hidden_layers: int = 18
    hidden_size: int = 2048
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    head_dim: int = 128
    cross_num_attention_heads: int = 16
    cross_num_key_value_heads: int = 16
    cross_head_dim: int = 128
    intermediate_size: int = 8192
    max_position_embeddings: int = 3072

    def __post_init__(self) -> None:
        _check_heads("decoder", self.num_attention_heads, self.num_key_value_heads, self.head_dim)
        _check_heads(
            "cross-attention",
            self.cross_num_attention_heads,
            self.cross_num_key_value_heads,
            self.cross_head_dim,
        )


def _check_heads(where: str, query_heads: int, key_value_heads: int, head_dim: int) -> None:
    if key_value_heads < 1 or query_heads % key_value_heads:
        raise CheckpointError(
            f"{where}: {query_heads} query heads cannot share {key_value_heads} key/value heads; "
            "the first must be a multiple of the second"
        )
    if head_dim % 2:
        raise CheckpointError(f"{where}: head_dim {head_dim} is odd, RoPE rotates pairs")


@dataclass(frozen=True)
class DiaConfig:
    """A whole model."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    layout: TokenLayout = field(default_factory=TokenLayout)
    revision: Revision = Revision.JUNE_2025
    norm_eps: float = 1e-5
    rope_theta: float = 1e4


PRESETS = MappingProxyType(
    {
        "dia-1.6b": DiaConfig(),
        "small": DiaConfig(
            encoder=EncoderConfig(
                num_hidden_layers=8,
                hidden_size=512,
                num_attention_heads=8,
                num_key_value_heads=8,
                head_dim=64,
                intermediate_size=2048,
            ),
            decoder=DecoderConfig(
                num_hidden_layers=12,
                hidden_size=768,
                num_attention_heads=12,
                num_key_value_heads=4,
                head_dim=64,
                cross_num_attention_heads=12,
                cross_num_key_value_heads=12,
                cross_head_dim=64,
                intermediate_size=3072,
            ),
        ),
        "mini": DiaConfig(
            encoder=EncoderConfig(
                num_hidden_layers=4,
                hidden_size=192,
                num_attention_heads=3,
                num_key_value_heads=3,
                head_dim=64,
                intermediate_size=512,
            ),
            decoder=DecoderConfig(
                num_hidden_layers=4,
                hidden_size=384,
                num_attention_heads=6,
                num_key_value_heads=2,
                head_dim=64,
                cross_num_attention_heads=6,
                cross_num_key_value_heads=6,
                cross_head_dim=64,
                intermediate_size=1024,
            ),
        ),
    }
)
"""Shapes by name: the published model, one with a ninth of its weights for hundreds of hours and a
single GPU, and one with a hundredth that trains on a CPU."""
