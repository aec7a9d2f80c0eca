"""Whether a run starts or goes on, and from where."""

from contextlib import ExitStack
from pathlib import Path

from dialoom.checkpoint import has_checkpoint, last_checkpoint
from dialoom.data.lock import LOCK_FILE, sole_writer
from dialoom.errors import CheckpointError, RecipeError
from dialoom.recipe.settings import Recipe, load_recipe

RECIPE_FILE = "recipe.yaml"

_MAY_CHANGE = frozenset(
    {
        "data.corpus",
        "train.steps",
        "train.epochs",
        "train.device",
        "train.valid_every",
        "train.sample_every",
        "train.checkpoint_every",
        "train.keep_last",
        "train.keep_every",
        "train.best_by",
        "train.speech_every",
        "train.early_stopping_patience",
        "train.parallel",
        "train.memory_steps",
        "train.probe_passes",
        "train.max_bad_steps",
        "train.on_divergence",
        "train.spike_deviations",
        "train.stall_seconds",
        "train.log_every",
    }
)
"""Settings that decide no number of a run, or only how long it is."""


def take_run(held: ExitStack, recipe: Recipe, run_dir: Path, *, resume: bool) -> Path | None:
    """Where to go on from, None for a run that starts; nobody else may write to the run meanwhile.

    Args:
        held: keeps the run for this process until it is closed.
        recipe: of this start.
        run_dir: of the run.
        resume: whether it shall be there already.

    Raises:
        DataError: another process trains there.
        CheckpointError, RecipeError: there is nothing to resume, or something in the way.
    """
    if resume:
        _check_is_run(run_dir)
    held.enter_context(sole_writer(run_dir, of="run", is_required=False))
    return _find_checkpoint(recipe, run_dir, resume=resume)


def _find_checkpoint(recipe: Recipe, run_dir: Path, *, resume: bool) -> Path | None:
    if resume:
        checkpoint = last_checkpoint(run_dir)
        if checkpoint is None:
            raise CheckpointError(
                f"{run_dir} holds no checkpoint to resume from: remove it and start again without "
                "--resume"
            )
        _check_resumable(recipe, run_dir)
        return checkpoint
    if any(path.name != LOCK_FILE for path in run_dir.iterdir()):
        way_on = f"go on with it by --resume {run_dir}" if has_checkpoint(run_dir) else "remove it"
        raise RecipeError(f"{run_dir} is there already: {way_on}, or give observe.run_dir=ANOTHER")
    return None


def _check_is_run(run_dir: Path) -> None:
    """Only what is a run may be called something to remove: a wrong path may hold anything."""
    if not run_dir.is_dir():
        raise CheckpointError(
            f"--resume {run_dir}: there is no such directory; correct it, or leave --resume out"
        )
    if not (run_dir / RECIPE_FILE).is_file():
        raise CheckpointError(
            f"--resume {run_dir}: is no run, it holds no {RECIPE_FILE}; give a run's directory"
        )


def _check_resumable(recipe: Recipe, run_dir: Path) -> None:
    """A resumed run is the same run: what decides its numbers may not differ."""
    started = load_recipe(run_dir / RECIPE_FILE)
    weights = [[weight for _, weight in r.data.shares] for r in (recipe, started)]
    if weights[0] != weights[1]:
        raise RecipeError(
            f"data.corpus has the weights {weights[0]}, the run in {run_dir} was started with "
            f"{weights[1]}: put them back, or start a new run from its checkpoint with model.base"
        )
    for section in ("model", "data", "train"):  # where the corpus lies may change, not what it is
        before, now = getattr(started, section), getattr(recipe, section)
        for name in type(before).model_fields:
            old, new = getattr(before, name), getattr(now, name)
            if old != new and f"{section}.{name}" not in _MAY_CHANGE:
                raise RecipeError(
                    f"{section}.{name} is {new!r}, the run in {run_dir} was started with {old!r}: "
                    "put it back, or start a new run from its checkpoint with model.base"
                )
