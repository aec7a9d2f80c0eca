"""Padded or packed: how the clips of a micro-batch lie in memory."""

import torch

from dialoom.model.packed_attention import has_kernel
from dialoom.train.precision import computes_in_bf16
from dialoom.train.settings import TrainSettings


def packs(settings: TrainSettings, device: torch.device) -> bool:
    """Whether to pack, as the settings say, or for `auto` where it is faster.

    On GPUs that is where the variable-length kernel computes, in 16 bits; on CPUs always
    (benchmarks/results/2026-11-22-training-speed.md). Guided attention looks at padded batches.
    """
    if settings.batching != "auto":
        return settings.batching == "packed"
    if settings.guided_attention > 0:
        return False
    if device.type == "cuda":
        in_16_bits = settings.precision not in ("auto", "fp32")
        return has_kernel(device) and (
            in_16_bits or (settings.precision == "auto" and computes_in_bf16(device))
        )
    return device.type == "cpu"
