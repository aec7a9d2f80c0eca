"""The model of this process and how its gradient becomes that of all processes.

Alone, by DDP (every process has the whole model, gradients are summed) or by FSDP2 (weights,
gradients and moments are divided). The mathematics is the same: the loss of a step is divided by
the targets of all ranks, micro-batches before the last send nothing, and the norm that is clipped
is that of the whole gradient. All of it is applied from outside; the model knows nothing of ranks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from dialoom.checkpoint import load_adapter_files, load_pretrained
from dialoom.checkpoint.adapter_files import is_adapted
from dialoom.checkpoint.host import host_model, model_around
from dialoom.data import Batch
from dialoom.errors import RecipeError, TrainingError
from dialoom.loss import LossSums
from dialoom.model import DiaModel
from dialoom.train.distributed import Ranks
from dialoom.train.oom import MemoryBudget, free_memory, is_out_of_memory
from dialoom.train.settings import TrainSettings
from dialoom.train.shares import silent
from dialoom.train.step import Objective, StepLoss, accumulate_gradients, evaluate_loss, no_loss

BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments in float32."""

MEMORY_FOR_REPLICA = 0.6
"""Share of a GPU that a whole replica may take; beyond it `auto` divides the model."""


_OUT_OF_MEMORY_TOGETHER = (
    "out of memory while all processes exchanged tensors, where none can begin anew: go on from "
    "the last checkpoint with --resume and a smaller train.memory_steps"
)


class Replica:
    """One process alone, and what the others have in common with it."""

    kind = "alone"

    def __init__(self, model: DiaModel, objective: Objective, ranks: Ranks) -> None:
        self.model = model
        self.ranks = ranks
        self.objective = objective
        self.loss = StepLoss(model, objective)
        self.budget = MemoryBudget(pad_id=model.config.layout.pad_id)
        self._present: Batch | None = None

    def accumulate(self, batches: Sequence[Batch]) -> LossSums:
        """Forward and backward of this rank's micro-batches, in smaller ones where memory ends.

        Afterwards every parameter holds its gradient of the step's loss over all ranks.

        Raises:
            TrainingError: memory ended where this rank cannot begin anew by itself.
        """
        pieces = self._divide(batches)
        whole = self.ranks.sum(sum(piece.num_targets for piece in pieces))
        while pieces:
            num_targets = whole
            if self.ranks.world_size == 1:  # a clip that was left out just now does not count
                num_targets = sum(piece.num_targets for piece in pieces)
            # DDP and FSDP2 average over ranks; the loss is a sum, divided once.
            channels = self.model.config.layout.num_channels
            divisor = max(1, num_targets) / channels / self.ranks.world_size
            try:
                return accumulate_gradients(self._attempt, pieces, divisor, self._traffic)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._refuse_shared_failure()
            # outside of the block above, whose error holds the tensors of the attempt
            assert self._present is not None, "a micro-batch was tried"
            self.budget.shrink(self._present)
            self.model.zero_grad(set_to_none=True)
            free_memory()
            pieces = self._divide(batches)
        return no_loss(self.model)

    def evaluate(self, batches: Sequence[Batch]) -> LossSums:
        """Loss over validation clips, each rank its part of them, summed over all ranks."""
        ranks = self.ranks
        own = list(batches[ranks.rank :: ranks.world_size])
        longest = -(-len(batches) // ranks.world_size)
        own += [silent(batches[0])] * (longest - len(own))
        return ranks.sum_losses(self._evaluate(own))

    def host_model(self) -> DiaModel | None:
        """The whole model with its weights copied to host memory, on rank 0; all ranks must ask."""
        return host_model(self.model) if self.ranks.is_first else None

    @torch.no_grad()
    def load_weights(self, checkpoint: Path) -> None:
        """Puts the weights of a checkpoint of this run into the model that trains."""
        if is_adapted(self.model):
            load_adapter_files(self.model, checkpoint)
            return
        saved = load_pretrained(checkpoint).model.state_dict()
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(saved[name])

    def put_together(self) -> DiaModel | None:
        """A whole model on the host, on rank 0, where `model` is divided; all ranks must ask."""
        return None

    def _divide(self, batches: Sequence[Batch]) -> list[Batch]:
        """Micro-batches that fit; where no clip of several ranks' does, one that is silent."""
        pieces = self.budget.divide(batches)
        return pieces if pieces or self.ranks.world_size == 1 else [silent(batches[0])]

    def _attempt(self, batch: Batch) -> tuple[Tensor, LossSums]:
        """The loss of a micro-batch, which is known as the present one from here on."""
        self._present = batch  # on the host, where it is divided without waiting for the device
        device = self.model.logits_dense.weight.device
        return self._module()(batch.to(device))  # type: ignore[no-any-return]

    def _refuse_shared_failure(self) -> None:
        """Raises where other ranks wait for what this one could not compute; alone, none does."""

    def _module(self) -> nn.Module:
        return self.loss

    @contextmanager
    def _traffic(self, is_last: bool) -> Iterator[None]:
        """Around forward and backward: gradients travel with the last micro-batch alone."""
        yield

    def _evaluate(self, batches: Sequence[Batch]) -> LossSums:
        pieces = self.budget.divide(batches)
        return evaluate_loss(self.model, pieces, self.objective.autocast)


class DdpReplica(Replica):
    """DistributedDataParallel (Li et al., arXiv 2006.15704)."""

    kind = "ddp"
    _is_last = _sends = False

    def __init__(self, model: DiaModel, objective: Objective, ranks: Ranks) -> None:
        super().__init__(model, objective, ranks)
        self._parallel = DistributedDataParallel(
            sync_batch_norms(self.loss), gradient_as_bucket_view=True
        )
        # they are constants, and a forward pass that is done again must send nothing; as an
        # attribute, because the argument of that name is deprecated since PyTorch 2.13
        self._parallel.broadcast_buffers = False

    def _module(self) -> nn.Module:
        return self._parallel

    @contextmanager
    def _traffic(self, is_last: bool) -> Iterator[None]:
        self._is_last, self._sends = is_last, False
        with nullcontext() if is_last else self._parallel.no_sync():
            yield

    def _attempt(self, batch: Batch) -> tuple[Tensor, LossSums]:
        loss, sums = super()._attempt(batch)
        self._sends = self._is_last
        return loss, sums

    def _refuse_shared_failure(self) -> None:
        """Ranks need not agree on anything before the one backward pass that sends gradients.

        How often each of them goes forward and back before that is its own affair.
        """
        if self._sends:
            raise TrainingError(_OUT_OF_MEMORY_TOGETHER)


class FsdpReplica(Replica):
    """FSDP2: fully_shard of every layer, then of the rest.

    On several nodes the mesh is two-dimensional (HSDP): weights are divided within a node, whose
    links are fast, and repeated on every node.
    """

    kind = "fsdp"

    def __init__(self, model: DiaModel, objective: Objective, ranks: Ranks) -> None:
        super().__init__(model, objective, ranks)
        mesh = _mesh(ranks, model.logits_dense.weight.device.type)
        for layer in [*model.encoder.layers, *model.decoder.layers]:
            fully_shard(layer, mesh=mesh)
        self._sharded: Any = fully_shard(sync_batch_norms(self.loss), mesh=mesh)

    def host_model(self) -> DiaModel | None:
        """Gathered tensor by tensor into the memory of rank 0's host."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights: Any = get_model_state_dict(self.model, options=options)
        return model_around(self.model.config, weights) if self.ranks.is_first else None

    def load_weights(self, checkpoint: Path) -> None:
        saved = dict(load_pretrained(checkpoint).model.state_dict())
        set_model_state_dict(self.model, saved, options=StateDictOptions(full_state_dict=True))

    def put_together(self) -> DiaModel | None:
        return self.host_model()

    def _refuse_shared_failure(self) -> None:
        """Every forward and backward pass gathers weights from all ranks: none can go back."""
        raise TrainingError(_OUT_OF_MEMORY_TOGETHER)

    @contextmanager
    def _traffic(self, is_last: bool) -> Iterator[None]:
        self._sharded.set_requires_gradient_sync(is_last)
        yield

    @torch.no_grad()
    def _evaluate(self, batches: Sequence[Batch]) -> LossSums:
        """Through the outermost module alone, because it is where weights are gathered."""
        total: LossSums | None = None
        for batch in batches:
            _, sums = self._module()(batch.to(self.model.logits_dense.weight.device))
            total = sums if total is None else total + sums
        assert total is not None, "there are validation clips"
        return total


def build_replica(
    model: DiaModel,
    objective: Objective,
    ranks: Ranks,
    settings: TrainSettings,
) -> Replica:
    """The replica that the recipe asks for.

    "auto" is DDP where a whole replica takes at most 60 % of a GPU, or must stay whole; else FSDP2.
    A process alone has the plain `Replica`.

    Raises:
        RecipeError: FSDP2 cannot divide what the recipe trains.
    """
    replica = _build(model, objective, ranks, settings)
    replica.budget.lower(settings.memory_steps)
    return replica


def _build(model: DiaModel, objective: Objective, ranks: Ranks, settings: TrainSettings) -> Replica:
    if ranks.world_size == 1:
        return Replica(model, objective, ranks)
    whole_only = _kept_whole(settings)
    if settings.parallel == "fsdp" and whole_only:
        raise RecipeError(
            f"train.parallel: fsdp cannot divide {whole_only}; take ddp, or leave that out"
        )
    by_ddp = settings.parallel == "ddp" or whole_only or _fits_whole(model)
    if settings.parallel != "fsdp" and by_ddp:
        return DdpReplica(model, objective, ranks)
    return FsdpReplica(model, objective, ranks)


def _kept_whole(settings: TrainSettings) -> str | None:
    """The setting that needs the whole model in one place; None where there is none."""
    needs = {
        "train.lora": settings.lora is not None,
        "train.ema_decay": settings.ema_decay is not None,
        "train.optimizer=adamw8bit": settings.optimizer != "adamw",
        "train.precision=fp16": settings.precision == "fp16",
    }
    return next((name for name, is_set in needs.items() if is_set), None)


def sync_batch_norms(module: nn.Module) -> nn.Module:
    """Turns every BatchNorm into SyncBatchNorm, whose statistics are those of all ranks.

    Dia has none: its norms are RMSNorm, which looks at one position of one clip. Other parts, such
    as a codec in training, may have some.

    Raises:
        RecipeError: there is one, and the device is no GPU; torch has SyncBatchNorm for GPUs alone.
    """
    if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()):
        return module
    if next(module.parameters()).device.type != "cuda":
        raise RecipeError(
            "train.device: a model with BatchNorm trains on several processes only on GPUs: train "
            "it without torchrun, or on GPUs"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-any-return,no-untyped-call]


def _mesh(ranks: Ranks, device_type: str) -> DeviceMesh:
    if ranks.num_nodes == 1:
        return init_device_mesh(device_type, (ranks.world_size,), mesh_dim_names=("shard",))
    return init_device_mesh(
        device_type,
        (ranks.num_nodes, ranks.local_world_size),
        mesh_dim_names=("replicate", "shard"),
    )


def _fits_whole(model: DiaModel) -> bool:
    device = model.logits_dense.weight.device
    if device.type != "cuda":
        return True
    memory = torch.cuda.get_device_properties(device).total_memory
    return model.num_parameters * BYTES_PER_PARAMETER < MEMORY_FOR_REPLICA * memory
