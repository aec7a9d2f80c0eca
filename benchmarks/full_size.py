"""Dia-1.6B with random weights: built, saved, loaded, converted there and back; time and memory.

    python benchmarks/full_size.py DIRECTORY [--dtypes bfloat16 float32]

Every step is a process of its own; its peak is VmHWM: all resident pages, Python, torch and the
mapped file among them. "Loaded" means that every weight was read. The directory needs 5 × the
weights of free space and is emptied again. Prints a table.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

GIB = 2**30


def build(directory: Path, dtype: str) -> None:
    import torch

    from dialoom.checkpoint import ModelInfo, save_pretrained
    from dialoom.model import PRESETS, DiaModel, initialize

    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device("meta"):
        model = DiaModel(PRESETS["dia-1.6b"])
    model.to_empty(device="cpu")
    for module in model.modules():
        if type(module).__name__ == "RMSNorm":
            torch.nn.init.ones_(module.weight)
    torch.set_default_dtype(torch.float32)
    initialize(model, seed=0)
    save_pretrained(model, ModelInfo(), directory / "built")


def load(path: Path, revision: str | None = None) -> None:
    from dialoom.checkpoint import load_model

    model = load_model(path, revision=revision).model
    read = sum(float(p.detach().view(-1)[::1024].sum()) for p in model.parameters())
    assert read == read


def convert(source: Path, out: Path, to: str) -> None:
    sys.argv = ["dialoom", "convert", str(source), str(out), "--to", to]
    from dialoom.cli.main import app

    app(standalone_mode=False)


def same_weights(one: Path, other: Path) -> None:
    """Bit for bit: every file of weights has the same sha256 in both directories."""
    names = sorted(path.name for path in one.glob("*.safetensors"))
    assert names == sorted(path.name for path in other.glob("*.safetensors")) != []
    for name in names:
        digests = set()
        for directory in (one, other):
            with (directory / name).open("rb") as file:
                digests.add(hashlib.file_digest(file, "sha256").hexdigest())
        assert len(digests) == 1, name


def steps(directory: Path, dtype: str) -> dict[str, Callable[[], None]]:
    built, nari, back = directory / "built", directory / "nari", directory / "back"
    return {
        "build and save": lambda: build(directory, dtype),
        "load transformers": lambda: load(built),
        "convert to nari": lambda: convert(built, nari, "nari"),
        "load nari .safetensors": lambda: load(nari),
        "load nari .pth": lambda: load(nari / "dia-v0_1.pth", "0626"),
        "convert to transformers": lambda: convert(nari, back, "transformers"),
        "compare": lambda: same_weights(built, back),
    }


def peak_bytes() -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) * 1024


def measure(directory: Path, dtype: str) -> None:
    for name in steps(directory, dtype):
        command = [sys.executable, __file__, str(directory), "--dtypes", dtype, "--step", name]
        started = time.monotonic()
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - started
        peak = int(result.stdout.splitlines()[-1])
        files = (directory / "built").glob("*.safetensors")
        weights = sum(path.stat().st_size for path in files)
        print(
            f"| {dtype} | {name} | {weights / GIB:.2f} | {peak / GIB:.2f} | {peak / weights:.2f} | "
            f"{seconds:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    if arguments.step:
        steps(directory, arguments.dtypes[0])[arguments.step]()
        print(peak_bytes())
        return
    print("| type | step | weights, GiB | peak, GiB | peak ÷ weights | s |")
    print("|---|---|---|---|---|---|")
    for dtype in arguments.dtypes:
        directory.mkdir(parents=True)  # must be new: it is removed afterwards
        try:
            measure(directory, dtype)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
