"""Checkpoints in the background: training waits for a copy in host memory, never for the disk."""

import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_shards
from torch.distributed.checkpoint.state_dict_saver import save as save_shards

from dialoom.checkpoint import RunStore
from dialoom.checkpoint.host import copy_to_host
from dialoom.checkpoint.run_store import SHARDS
from dialoom.model import DiaModel
from dialoom.train.replica import FsdpReplica, Replica


class Saver:
    """Writes one checkpoint at a time, in a thread.

    Every rank makes one and calls its methods at the same steps. Weights and what is small are
    written by rank 0. Moments that FSDP2 divided are written by the rank that holds them, by
    torch.distributed.checkpoint, which can divide them among any other number of ranks.
    """

    def __init__(self, store: RunStore, replica: Replica) -> None:
        self.store = store
        self._replica = replica
        self._is_divided = isinstance(replica, FsdpReplica)
        self._group = dist.new_group(backend="gloo") if self._is_divided else None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(
        self,
        optimizer: torch.optim.Optimizer,
        training_state: Mapping[str, Any],
        step: int,
        *,
        is_best: bool,
    ) -> None:
        """Copies all that the checkpoint needs and begins to write it.

        Waits for the checkpoint before it, whose copy still takes memory.

        Raises:
            CheckpointError: that one could not be written.
        """
        self.wait()
        replica = self._replica
        model = replica.host_model()
        if not (replica.ranks.is_first or self._is_divided):
            return
        state = copy_to_host(dict(training_state))
        moments = None
        if self._is_divided:
            moments = copy_to_host(_moments(replica.model, optimizer))
        elif replica.ranks.is_first:
            state["optimizer"] = copy_to_host(optimizer.state_dict())

        def write() -> None:
            try:
                if model is not None:
                    more = None if moments is None else lambda path: self._write(moments, path)
                    self.store.save(model, state, step, is_best=is_best, write_more=more)
                else:
                    self._write(moments, None)
            except BaseException as error:  # raised again by `check`, in the thread that trains
                self._error = error

        self._thread = threading.Thread(target=write, name="checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raises what went wrong in the background, once.

        Raises:
            CheckpointError: a checkpoint could not be written; those before it are whole.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Returns when nothing is being written.

        Raises:
            CheckpointError: as `check`.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _write(self, moments: Any, directory: Path | None) -> None:
        """Every rank its part of the moments, into the directory that rank 0 names."""
        place = [directory]
        dist.broadcast_object_list(place, src=0, group=self._group)
        assert place[0] is not None, "rank 0 knows where"
        save_shards(
            {"moments": moments}, checkpoint_id=place[0] / SHARDS.name, process_group=self._group
        )


def restore_optimizer(
    replica: Replica, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Puts the moments of a checkpoint into an optimizer, however either of them is divided.

    Args:
        replica: whose parameters the optimizer has.
        optimizer: to be filled; its hyperparameters stay those of the recipe where they can.
        state: has "optimizer", a state dict of torch, or "shards", a directory.
    """
    divided = isinstance(replica, FsdpReplica)
    if "optimizer" in state and not divided:
        optimizer.load_state_dict(state["optimizer"])
        return
    model = replica.model
    present = get_optimizer_state_dict(model, optimizer)
    moments = present["state"]
    if "optimizer" in state:
        names = _names_in_order(model, optimizer)
        saved = state["optimizer"]["state"]
        moments = {name: saved[number] for number, name in enumerate(names) if number in saved}
    else:
        with warnings.catch_warnings():  # of one process alone, which is just what is meant
            warnings.simplefilter("ignore", UserWarning)
            load_shards({"moments": moments}, checkpoint_id=state["shards"], no_dist=not divided)
    set_optimizer_state_dict(
        model,
        optimizer,
        {"state": moments, "param_groups": present["param_groups"]},
        options=StateDictOptions(full_state_dict="optimizer" in state),
    )


def _moments(model: DiaModel, optimizer: torch.optim.Optimizer) -> Any:
    """By the parameters' names; of divided ones this rank's part."""
    return get_optimizer_state_dict(model, optimizer)["state"]


def _names_in_order(model: DiaModel, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the parameters in the order in which torch's state dict numbers them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
