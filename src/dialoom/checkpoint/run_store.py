"""The checkpoints of a run: model directories with what resuming needs inside."""

import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from dialoom.checkpoint.adapter_files import is_adapted, write_adapter_files
from dialoom.checkpoint.info import ModelInfo
from dialoom.checkpoint.pretrained import write_model_files
from dialoom.checkpoint.store import atomic_directory, remove_directory, replace_link, sweep
from dialoom.errors import CheckpointError
from dialoom.model import DiaModel

_STEP_NAME = re.compile(r"step_(\d{8})")
_STATE = Path("training") / "state.pt"
SHARDS = Path("training") / "moments"
"""Where torch.distributed.checkpoint keeps the moments of an optimizer that was divided."""


class RunStore:
    """`RUN_DIR/checkpoints`: `step_00000500/ …`, and the links `last` and `best`.

    Kept are the last ones, the best one, and those of every so many steps.
    """

    def __init__(
        self, run_dir: Path, info: ModelInfo, *, keep_last: int, keep_every: int | None = None
    ) -> None:
        self.directory = run_dir / "checkpoints"
        self._info = info
        self._keep_last = keep_last
        self._keep_every = keep_every
        sweep(self.directory)

    def save(
        self,
        model: DiaModel,
        training_state: dict[str, Any],
        step: int,
        *,
        is_best: bool,
        write_more: Callable[[Path], None] | None = None,
    ) -> Path:
        """Writes a whole checkpoint, moves the links, and removes what need not be kept.

        Args:
            model: whose weights are written.
            training_state: tensors and plain values.
            step: names the checkpoint.
            is_best: whether the link `best` is moved to it.
            write_more: is given the directory `training` inside the unfinished checkpoint.

        Raises:
            CheckpointError: it cannot be written; the checkpoints before it are as they were.
        """
        name = f"step_{step:08d}"
        with atomic_directory(self.directory / name) as temporary:
            write = write_adapter_files if is_adapted(model) else write_model_files
            write(model, self._info, temporary)
            (temporary / _STATE).parent.mkdir()
            torch.save(training_state, temporary / _STATE)
            if write_more is not None:
                write_more((temporary / _STATE).parent)
        replace_link(self.directory / "last", name)
        if is_best:
            replace_link(self.directory / "best", name)
        self._prune()
        return self.directory / name

    def last_before(self, step: int) -> Path | None:
        """The newest checkpoint of fewer steps; None without any."""
        earlier = [path for path in _steps(self.directory) if int(path.name[5:]) < step]
        return earlier[-1] if earlier else None

    def _prune(self) -> None:
        best = self.directory / "best"
        best_name = best.readlink().name if best.is_symlink() else None
        for path in _steps(self.directory)[: -self._keep_last]:
            is_milestone = self._keep_every and int(path.name[5:]) % self._keep_every == 0
            if path.name != best_name and not is_milestone:
                remove_directory(path)


def last_checkpoint(run_dir: Path) -> Path | None:
    """The newest whole checkpoint of a run, whatever the link `last` says; None without any.

    What a killed writer left is put in order first: between its two renames a whole checkpoint
    stands under another name. So no other process may be writing to the run.
    """
    sweep(run_dir / "checkpoints")
    steps = _steps(run_dir / "checkpoints")
    return steps[-1] if steps else None


def has_checkpoint(run_dir: Path) -> bool:
    """Whether a run could be resumed; touches nothing, so that the run may be under way."""
    directory = run_dir / "checkpoints"
    return bool(_steps(directory)) or any(directory.glob(".step_*.old"))


def _steps(directory: Path) -> list[Path]:
    """Whole checkpoints in the order of their steps; none where there is no such directory."""
    return sorted(path for path in directory.glob("step_*") if _STEP_NAME.fullmatch(path.name))


def load_training_state(checkpoint: Path) -> dict[str, Any]:
    """What `RunStore.save` was given; tensors and plain values only, no code.

    Of an optimizer that was divided among ranks it has "shards", where its parts are.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    state = _read_state(checkpoint, mmap=False)
    if (checkpoint / SHARDS).is_dir():
        state["shards"] = str(checkpoint / SHARDS)
    return state


def corpus_fingerprint(checkpoint: Path) -> str | None:
    """Of the corpus that a checkpoint was trained on; None where its training state is gone.

    The moments of the optimizer are mapped, not read.
    """
    try:
        found = _read_state(checkpoint, mmap=True).get("corpus")
    except CheckpointError:  # the model is whole without it
        return None
    return found if isinstance(found, str) else None


def _read_state(checkpoint: Path, *, mmap: bool) -> dict[str, Any]:
    path = checkpoint / _STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise CheckpointError(
            f"{checkpoint} holds a model without its training state: it can be fine-tuned from "
            "(model.base), not resumed"
        ) from None
    except (RuntimeError, EOFError, ValueError, LookupError, UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is damaged ({reason}): resume from another step") from None
    assert isinstance(state, dict)
    return state
