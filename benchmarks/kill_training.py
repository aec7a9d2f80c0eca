"""Kills a training at random moments until it is done; it must end in the bits of a quiet run.

    python benchmarks/kill_training.py --kills 30 --steps 200

Every life of the run is a process of its own that dies by SIGKILL, which no program can answer:
while it starts, in a step, while a checkpoint is copied, written or renamed, while an old one is
removed. The next life goes on by `--resume`, or from nothing if there was no checkpoint yet.
Processes are forked, so that a life costs no import.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny_run import tiny_recipe, weights

from dialoom.checkpoint import last_checkpoint, load_training_state
from dialoom.recipe import Recipe, run_recipe

SHARE_KILLED_AT_START = 0.2
HASTE = 1.4
"""A life may last so many times its part of the steps that are left, so that all kills find one."""


def live(recipe: Recipe, run_dir: Path, delay_s: float | None) -> bool:
    """One life of a run; killed after the delay. Whether it came to its end."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        resume = last_checkpoint(run_dir) is not None
        if not resume:
            shutil.rmtree(run_dir, ignore_errors=True)
        run_recipe(recipe, run_dir, resume=resume)
        os._exit(0)
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"a life of {run_dir} failed by itself")
    return True


def steps_done(run_dir: Path) -> int:
    checkpoint = last_checkpoint(run_dir)
    return 0 if checkpoint is None else int(checkpoint.name[5:])


def difference(straight: Path, killed: Path) -> list[str]:
    """Names of the weights and moments that are not the same bits."""
    one, other = last_checkpoint(straight), last_checkpoint(killed)
    assert one is not None and other is not None
    assert one.name == other.name, (one, other)
    pairs = [(weights(one), weights(other))]
    states = [load_training_state(path)["optimizer"]["state"] for path in (one, other)]
    pairs += [(states[0][number], states[1][number]) for number in states[0]]
    return [name for a, b in pairs for name in a if not torch.equal(a[name], b[name])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-every", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with TemporaryDirectory() as name:
        directory = Path(name)
        train = {
            "steps": options.steps,
            "checkpoint_every": options.checkpoint_every,
            "valid_every": options.steps,
            "accumulate": 2,
            "keep_last": 2,
        }
        recipe = tiny_recipe(directory, **train)
        short = tiny_recipe(directory, **{**train, "steps": 1})
        started = time.perf_counter()
        live(short, directory / "short", None)
        start_s = time.perf_counter() - started
        started = time.perf_counter()
        live(recipe, directory / "straight", None)
        step_s = max(1e-3, (time.perf_counter() - started - start_s) / options.steps)
        print(f"start {start_s:.2f} s, step {1000 * step_s:.0f} ms", flush=True)

        run_dir = directory / "killed"
        kills, early = 0, 0
        while kills < options.kills:
            at_start = rng.random() < SHARE_KILLED_AT_START
            delay_s = rng.uniform(0, start_s)
            if not at_start:
                left = (options.steps - steps_done(run_dir)) / (options.kills - kills + 1)
                delay_s = start_s + rng.uniform(0, HASTE * left * step_s)
            if live(recipe, run_dir, delay_s):
                break
            kills += 1
            early += at_start
            safe = steps_done(run_dir)
            print(f"kill {kills} after {delay_s:.2f} s: {safe} steps are safe", flush=True)
        print(f"{kills} kills, {early} of them while it started", flush=True)
        if kills < options.kills:
            raise SystemExit("the run ended before its last kill: give more --steps")
        live(recipe, run_dir, None)
        if differing := difference(directory / "straight", run_dir):
            raise SystemExit(f"not the same bits: {', '.join(differing)}")
        print(f"after {options.steps} steps weights and moments are the same bits")


if __name__ == "__main__":
    main()
