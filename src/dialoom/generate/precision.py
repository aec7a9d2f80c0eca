"""In which numbers a model speaks."""

from enum import StrEnum

import torch
from torch import Tensor, nn

from dialoom.errors import GenerationError
from dialoom.model.projection import Quantize

INT4_GROUP_SIZE = 128
"""Weights that share a scale; a matrix whose rows this does not divide keeps its type."""


class Precision(StrEnum):
    """Types to compute in; the last two keep the layers' matrices in fewer bits, the rest in bf16.

    Norms, RoPE, the sums of attention's products, softmax and sampling are float32 in all of them.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT4 = "int4"

    @classmethod
    def parse(cls, value: str) -> "Precision":
        """The precision of that name.

        Raises:
            GenerationError: there is none.
        """
        try:
            return cls(value)
        except ValueError:
            choices = ", ".join(cls)
            raise GenerationError(f"precision {value!r} is unknown: take {choices}") from None

    @property
    def dtype(self) -> torch.dtype:
        """What activations are, and weights that are not quantized."""
        if self is Precision.FLOAT32:
            return torch.float32
        return torch.float16 if self is Precision.FLOAT16 else torch.bfloat16


def quantizer(precision: Precision, device: torch.device) -> Quantize | None:
    """How matrices become smaller; None where they stay.

    Raises:
        GenerationError: torchao is not installed, or has no int4 product for this device.
    """
    if precision not in (Precision.INT8, Precision.INT4):
        return None
    if precision is Precision.INT4 and device.type == "cpu":
        raise GenerationError("precision int4 needs a GPU: torchao has none for CPUs; take int8")
    try:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise GenerationError(
            f"precision {precision} needs torchao: pip install 'dialoom[low-memory]'"
        ) from None
    if precision is Precision.INT8:
        config = Int8WeightOnlyConfig(set_inductor_config=False)
    else:
        config = Int4WeightOnlyConfig(
            group_size=INT4_GROUP_SIZE,
            int4_packing_format="tile_packed_to_4d",  # PyTorch's own kernel, no further package
            set_inductor_config=False,
        )

    def quantize(weight: Tensor) -> Tensor:
        if precision is Precision.INT4 and weight.shape[1] % INT4_GROUP_SIZE:
            return weight
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=False)
        quantize_(linear, config)
        return linear.weight

    return quantize
