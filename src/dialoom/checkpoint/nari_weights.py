"""Weights: nari's names and kernels ↔ ours. Pure functions, inverse to each other, bit for bit.

nari keeps every linear map as JAX does, input axes first and heads apart: queries (D, H, E), their
way back (H, E, D), gate and up in one (D, 2, intermediate), logits (D, C, V). Flattened to
(in, out) and transposed these are our matrices. Its nine embeddings are the rows of our one table.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from dialoom.model import DiaConfig, DiaModel

_EMBEDDINGS = "model.decoder.embeddings.embed.weight"
_RENAMED = {"mlp.gate_up_proj": "mlp.wi_fused", "mlp.down_proj": "mlp.wo"}

Shapes = dict[str, tuple[int, ...]]


def model_shapes(config: DiaConfig) -> Shapes:
    """Names and shapes of our parameters, which are transformers'."""
    with torch.device("meta"):
        model = DiaModel(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def nari_shapes(config: DiaConfig) -> Shapes:
    """Names and shapes of the same model in nari's code."""
    shapes: Shapes = {}
    vocab_size = config.layout.vocab_size
    for name, shape in model_shapes(config).items():
        if name == _EMBEDDINGS:
            shapes |= {
                _embedding(channel): (vocab_size, shape[1])
                for channel in range(config.layout.num_channels)
            }
        else:
            shapes[_nari_name(name)] = _kernel_shape(name, shape, config)
    return shapes


def is_nari(names: Mapping[str, object]) -> bool:
    """Whether the names of tensors are nari's."""
    return "decoder.logits_dense.weight" in names


def from_nari_weights(state: Mapping[str, Tensor], config: DiaConfig) -> dict[str, Tensor]:
    """The state dict of nari's code → ours, tensor by tensor, into memory of its own.

    Args:
        state: has exactly the names and shapes of `nari_shapes`.
        config: the model's.
    """
    ours = {}
    for name, shape in model_shapes(config).items():
        if name == _EMBEDDINGS:
            channels = range(config.layout.num_channels)
            ours[name] = torch.cat([state[_embedding(channel)] for channel in channels])
        elif _is_kernel(name):
            kernel = state[_nari_name(name)]
            ours[name] = kernel.reshape(shape[1], shape[0]).T.contiguous()
        else:
            ours[name] = state[_nari_name(name)].clone()
    return ours


def to_nari_weights(state: Mapping[str, Tensor], config: DiaConfig) -> dict[str, Tensor]:
    """Inverse of `from_nari_weights`."""
    theirs: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == _EMBEDDINGS:
            tables = torch.split(tensor, config.layout.vocab_size)
            theirs |= {_embedding(c): table.clone() for c, table in enumerate(tables)}
        elif _is_kernel(name):
            shape = _kernel_shape(name, tuple(tensor.shape), config)
            theirs[_nari_name(name)] = tensor.T.contiguous().view(shape)
        else:
            theirs[_nari_name(name)] = tensor.clone()
    return theirs


def _embedding(channel: int) -> str:
    return f"decoder.embeddings.{channel}.weight"


def _is_kernel(name: str) -> bool:
    return "_proj." in name or name == "logits_dense.weight"


def _nari_name(name: str) -> str:
    if name == "logits_dense.weight":
        return "decoder.logits_dense.weight"
    for ours, theirs in _RENAMED.items():
        name = name.replace(ours, theirs)
    return name.removeprefix("model.")


def _kernel_shape(name: str, shape: tuple[int, ...], config: DiaConfig) -> tuple[int, ...]:
    """Shape in nari's code of what is (out, in) here; anything but a linear map keeps its own."""
    if not _is_kernel(name):
        return shape
    num_out, num_in = shape
    if name == "logits_dense.weight":
        return (num_in, config.layout.num_channels, config.layout.vocab_size)
    if "gate_up_proj" in name:
        return (num_in, 2, num_out // 2)
    if "down_proj" in name:
        return (num_in, num_out)
    head_dim = _head_dim(name, config)
    if "o_proj" in name:
        return (num_in // head_dim, head_dim, num_out)
    return (num_in, num_out // head_dim, head_dim)


def _head_dim(name: str, config: DiaConfig) -> int:
    if name.startswith("model.encoder."):
        return config.encoder.head_dim
    if "cross_attention" in name:
        return config.decoder.cross_head_dim
    return config.decoder.head_dim
