"""Dia-1.6B with random weights, trained by the recipes for small cards: memory and time of a step.

    python benchmarks/full_size_training.py DIRECTORY [--recipes finetune-lora-12gb …]

On a CPU, in the types that a GPU would use: what lies in memory is the same, but for CUDA itself
and the fragments of its allocator. Each recipe runs in a process of its own, as it is shipped,
without samples and checkpoints; memory is what the process has beyond its imports at its peak
(VmHWM) when the second step is logged, beside the estimate of `dialoom plan`. DIRECTORY needs 4 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RECIPES = Path(__file__).parents[1] / "recipes"
GB = 1e9
DAC = "descript/dac_44khz"
NUM_CLIPS = 60
MIN_SECONDS, MAX_SECONDS = 4.0, 12.0
BYTES_PER_SECOND = 15
POLL_S = 0.05
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""glibc keeps freed tensors below 32 MB otherwise, and the pieces add up to as much again."""


def write_corpus(path: Path) -> None:
    """Random codes of the DAC that Dia speaks, and texts as long as speech has them."""
    from dialoom.codec import CodecSpec, Codes
    from dialoom.data import Clip, CorpusWriter

    spec = CodecSpec(DAC, "0" * 64, 44_100, 512, 9, 1024)
    rng = np.random.default_rng(0)
    clips = []
    for number, seconds in enumerate(rng.uniform(MIN_SECONDS, MAX_SECONDS, NUM_CLIPS)):
        frames = round(seconds * spec.frames_per_second)
        codes = rng.integers(0, spec.codebook_size, (frames, spec.num_codebooks))
        text = "[S1] " + "word " * round(seconds * BYTES_PER_SECOND / 5)
        clips.append(Clip(str(number), text, None, None, Codes(codes.astype(np.uint16))))
    writer = CorpusWriter(path, spec, valid_fraction=0.05)
    writer.write(0, clips)
    writer.finish(1)


def overrides(directory: Path, run_dir: Path) -> list[str]:
    """What keeps a run short; all that decides its memory stays as shipped."""
    return [
        f"model.base={directory / 'built'}",
        f"data.corpus={directory / 'corpus'}",
        f"observe.run_dir={run_dir}",
        "observe.tensorboard=false",
        "train.epochs=null",
        "train.steps=3",
        "train.log_every=1",
        "train.device=cpu",
        "train.precision=bf16",
        "train.probe_passes=0",
        "train.valid_every=1000",
        "train.sample_at_start=false",
        "evaluate.max_valid_clips=1",
        "evaluate.num_clips=0",
        "evaluate.num_valid_clips=0",
    ]


def train(recipe: str, directory: Path, run_dir: Path) -> None:
    """A process of its own: notes its memory after the imports, then trains."""
    from dialoom.recipe import load_recipe, run_recipe

    if "24gb" in recipe:
        from dialoom.train import adamw_8bit  # noqa: F401  # an import too
    (directory / "imported").write_text(str(peak_bytes("self")))
    settings = load_recipe(RECIPES / f"{recipe}.yaml", overrides(directory, run_dir))
    run_recipe(settings, run_dir)


def peak_bytes(process: int | str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def steps_logged(run_dir: Path) -> list[dict[str, float]]:
    path = run_dir / "metrics.jsonl"
    if not path.exists():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.get("kind") == "train"]


def measure(recipe: str, directory: Path) -> str:
    """A row of the table."""
    from dialoom.recipe.plan import RESERVE_BYTES, plan

    run_dir = directory / recipe
    estimate = plan(RECIPES / f"{recipe}.yaml", overrides(directory, run_dir))
    child = subprocess.Popen(
        [sys.executable, __file__, str(directory), "--train", recipe],
        stdout=subprocess.DEVNULL,
        env=os.environ | GIVE_BACK,
    )
    started, peak = time.monotonic(), 0
    while child.poll() is None and len(steps_logged(run_dir)) < 2:
        peak = max(peak, peak_bytes(child.pid))
        time.sleep(POLL_S)
    seconds = time.monotonic() - started
    if child.poll() is not None:
        raise SystemExit(f"{recipe} ended with status {child.returncode} before its second step")
    child.kill()
    child.wait()
    imports = int((directory / "imported").read_text())
    losses = ", ".join(f"{step['loss']:.3f}" for step in steps_logged(run_dir))
    computed = (estimate.total_bytes - RESERVE_BYTES) / GB
    return (
        f"| {recipe} | {estimate.num_trained / 1e6:.1f} M | {(peak - imports) / GB:.2f} | "
        f"{computed:.2f} | {imports / GB:.2f} | {seconds:.0f} | {losses} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--recipes", nargs="+", default=["finetune-lora-12gb", "finetune-full-24gb"]
    )
    parser.add_argument("--train", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    if arguments.train:
        train(arguments.train, directory, directory / arguments.train)
        return
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "corpus").exists():
        build = [str(Path(__file__).with_name("full_size.py")), str(directory)]
        step = ["--dtypes", "bfloat16", "--step", "build and save"]
        subprocess.run([sys.executable, *build, *step], check=True, stdout=subprocess.DEVNULL)
        write_corpus(directory / "corpus")
    print("| recipe | trained | peak, GB | computed, GB | imports, GB | s, two steps | loss |")
    print("|---|---|---|---|---|---|---|")
    for recipe in arguments.recipes:
        print(measure(recipe, directory), flush=True)


if __name__ == "__main__":
    main()
