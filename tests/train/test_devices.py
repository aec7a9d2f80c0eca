"""What is done for GPUs, seen without one."""

from typing import Any

import pytest
import torch

from dialoom.sequence import Spans
from dialoom.train import TrainSettings, join_ranks, packs
from dialoom.train.random_state import random_state, restore_random_state

GPU = torch.device("cuda:1")


def test_ranks_of_a_resumed_run_draw_the_numbers_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every rank has a GPU of its own; rank 0 knows the state of its own alone."""
    states = {torch.device("cuda:0"): torch.tensor([7]), GPU: torch.tensor([0])}
    monkeypatch.setattr(torch.cuda, "get_rng_state", states.__getitem__)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: states.update({device: state})
    )
    restore_random_state(random_state(torch.device("cuda:0")), GPU)
    assert states[GPU].item() == 7


def test_gpu_that_a_recipe_names_is_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr("dialoom.train.distributed.resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with join_ranks("cuda:1") as (ranks, device):
        assert (ranks.world_size, device) == (1, GPU)
    assert chosen == [GPU]


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 6), True)])
def test_packs_where_the_kernel_computes(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    """FlashAttention needs Ampere, and fp16 is for the GPUs before."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert packs(TrainSettings(steps=1, precision="fp16"), GPU) is expected


def test_places_of_a_packed_batch_travel_from_pinned_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy from other memory may wait until the device has come to it."""
    pinned: list[int] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(len(tensor))
        return tensor

    def stay(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return tensor

    spans = Spans.of([3, 2])
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", stay)
    spans.to(GPU)
    assert pinned == [3, 5]
