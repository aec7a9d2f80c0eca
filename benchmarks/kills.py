"""`dialoom prepare` is shot at random moments and run again: the corpus must not show it.

    python benchmarks/kills.py SOURCE DIRECTORY [--kills 20] [--seed 0]

Each run is the real command with the codec `mini`. Compared with an undisturbed corpus byte for
byte; between the shots, no finished shard may be written again.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path


def command(source: Path, out: Path) -> list[str]:
    """With shards of 3 clips, saved after each, so that a short source has many moments."""
    code = (
        "import dialoom.data.preparation as p, sys; p.CLIPS_PER_SHARD = 3; p.SAVE_EVERY_S = 0.0; "
        "from dialoom.cli.main import app; app(sys.argv[1:])"
    )
    return [sys.executable, "-c", code, "prepare", str(source), str(out), "--language", "en"]


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every finished shard: another file would have others."""
    states = {file.name: file.stat() for file in out.glob("*.parquet")}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}


def contents(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)

    whole = arguments.directory / "whole"
    started_s = time.monotonic()
    subprocess.run(command(arguments.source, whole), check=True, stderr=subprocess.DEVNULL)
    span_s = time.monotonic() - started_s
    print(f"undisturbed: {len(finished(whole))} shards in {span_s:.1f} s", flush=True)
    # a run that comes to its end is followed by one into a new directory
    shots = rewritten = corpus = completed = 0
    while shots < arguments.kills or completed < corpus:
        corpus, out = completed + 1, arguments.directory / f"killed-{completed + 1}"
        before = finished(out) if out.exists() else {}
        process = subprocess.Popen(
            command(arguments.source, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_s = rng.uniform(0.3, 1.0) * span_s if shots < arguments.kills else None
            assert process.wait(wait_s) == 0
            completed += 1
            assert contents(out) == contents(whole), f"{out} differs from {whole}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            shots += 1
        after = finished(out) if out.exists() else {}
        rewritten += sum(after.get(name) != state for name, state in before.items())
        print(f"shots {shots}, shards {len(after)}, corpora completed {completed}", flush=True)
    assert rewritten == 0, f"{rewritten} finished shards were written again"
    print(f"{shots} kills, {completed} corpora, all equal to the undisturbed one byte for byte")


if __name__ == "__main__":
    main()
