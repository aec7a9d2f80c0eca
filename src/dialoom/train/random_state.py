"""Where the random numbers of a process are: in dropout of adapters, in stochastic rounding."""

from collections.abc import Mapping
from typing import Any

import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """Of the host and of the device that computes."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return {"torch_rng": torch.get_rng_state(), "cuda_rng": on_device}


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Inverse of `random_state`.

    Args:
        state: of rank 0, for every rank: replicas that round stochastically have to do so alike.
        device: of this rank.
    """
    torch.set_rng_state(state["torch_rng"])
    if device.type == "cuda" and state["cuda_rng"]:
        torch.cuda.set_rng_state(state["cuda_rng"][0], device)
