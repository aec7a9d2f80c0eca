"""The largest micro-batch, tried before the first step: what does not fit is known at once."""

import torch

from dialoom.data import Batch
from dialoom.train.replica import Replica


def probe_memory(
    replica: Replica, batch: Batch, passes: int, *, moments_to_come: int
) -> str | None:
    """Goes forward and back a few times and changes nothing but the budget of memory.

    Weights, optimizer, data position and random numbers are afterwards as they were; the gradients
    are taken away.

    Args:
        replica: whose micro-batches shrink where they do not fit.
        batch: the largest micro-batch; every rank the same.
        passes: how often; the second and third show what the allocator keeps.
        moments_to_come: bytes that the first update will take; 0 where it was made already.

    Returns:
        A warning where weights, gradients, activations and the moments to come are more than the
        memory of the GPU; None where they fit, or the device is no GPU.
    """
    device = replica.model.logits_dense.weight.device
    cpu_rng = torch.get_rng_state()
    cuda_rng = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    for _ in range(passes):
        replica.accumulate([batch])
        replica.model.zero_grad(set_to_none=True)
    torch.set_rng_state(cpu_rng)
    if cuda_rng is None:
        return None
    torch.cuda.set_rng_state(cuda_rng, device)
    needed = torch.cuda.max_memory_allocated(device) + moments_to_come
    return shortage(needed, torch.cuda.get_device_properties(device).total_memory)


def shortage(needed: int, present: int) -> str | None:
    """A warning where more bytes are needed than there are."""
    if needed <= present:
        return None
    return (
        f"the largest micro-batch and the optimizer need {needed / 1e9:.1f} GB of the GPU's "
        f"{present / 1e9:.1f} GB: lower train.memory_steps or data.max_seconds, or take "
        "train.optimizer=adamw8bit or train.lora"
    )
