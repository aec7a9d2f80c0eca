"""The processes that train together: who they are, and the few things that they tell each other.

`torchrun` starts one process for each GPU and says so in the environment; without it there is one.
Numbers that live on the host travel over gloo, so that asking waits for no GPU.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from dialoom.errors import UserError
from dialoom.loss import LossSums
from dialoom.train.precision import resolve_device

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among all of the run; alone by default.

    Attributes:
        rank: number of this process.
        world_size: how many there are.
        local_world_size: how many of them are on this machine.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process logs, speaks and writes."""
        return self.rank == 0

    @property
    def num_nodes(self) -> int:
        return self.world_size // self.local_world_size

    def sum(self, count: int) -> int:
        """Σ of a count over all ranks."""
        if self.world_size == 1:
            return count
        total = torch.tensor(count)
        dist.all_reduce(total)
        return int(total)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank."""
        return self.sum(int(flag)) > 0

    def sum_losses(self, sums: LossSums) -> LossSums:
        """Σ of all entries over all ranks; counts stay exact up to 2^53."""
        if self.world_size == 1:
            return sums
        names = list(vars(sums))
        flat = torch.cat([getattr(sums, name).detach().double().reshape(-1) for name in names])
        dist.all_reduce(flat)
        parts = torch.split(flat, [getattr(sums, name).numel() for name in names])
        return LossSums(
            **{
                name: part.view_as(getattr(sums, name)).to(getattr(sums, name).dtype)
                for name, part in zip(names, parts, strict=True)
            }
        )

    def sum_seconds(self, seconds: float) -> float:
        """Σ of a duration over all ranks."""
        if self.world_size == 1:
            return seconds
        total = torch.tensor(seconds, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def ask_first(self, decide: Callable[[], T]) -> T:
        """What rank 0 decides, for all ranks.

        Raises:
            UserError: rank 0 refuses; the other ranks leave without a word, with status 2.
        """
        if self.world_size == 1:
            return decide()
        answer: list[Any] = [None, None]
        if self.is_first:
            try:
                answer[0] = decide()
            except UserError as error:
                answer[1] = error
        dist.broadcast_object_list(answer)
        if answer[1] is None:
            return answer[0]  # type: ignore[no-any-return]
        raise answer[1] if self.is_first else SystemExit(2)

    def wait_for_all(self) -> None:
        """Returns when every rank is here."""
        self.sum(0)


@contextmanager
def join_ranks(device: str) -> Iterator[tuple[Ranks, torch.device]]:
    """This process among those of `torchrun`, and the device that it computes on.

    Args:
        device: as in the recipe; "auto" and "cuda" are the GPU of the local rank.

    Raises:
        RecipeError: there is no such device here.
    """
    is_alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    place = resolve_device(device)
    if place.type == "cuda" and not is_alone:
        place = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
    if place.type == "cuda" and place.index is not None:
        torch.cuda.set_device(place)  # pinned memory and figures of memory are the present one's
    if is_alone:
        yield Ranks(), place
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield (
            Ranks(
                dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            ),
            place,
        )
    finally:
        dist.destroy_process_group()
