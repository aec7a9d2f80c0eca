"""A corpus of a million clips: opening, clips at random, lengths, and all that a training reads.

    python benchmarks/large_corpus.py DIRECTORY [--clips 1000000]

Makes the corpus where it is not there yet: shards as `dialoom prepare` writes them, with 3 frames
of codes a clip, because codes are not read on opening. Of 64 shards that are made the others are
copies, each a file of its own, which takes a minute instead of ten.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dialoom.codec import CodecSpec, Codes
from dialoom.data import Clip, Corpus, CorpusWriter, DiaDataset
from dialoom.data.index import INDEX_FILE
from dialoom.data.preparation import CLIPS_PER_SHARD
from dialoom.data.shard import shard_name

SPEC = CodecSpec("mini", "0" * 64, 44_100, 512, 9, 1024)
NUM_MADE = 64
READ_AT_RANDOM = 1000
ROUNDS = 3


def make(directory: Path, num_clips: int) -> None:
    rng = np.random.default_rng(0)
    writer = CorpusWriter(directory, SPEC)
    num_shards = -(-num_clips // CLIPS_PER_SHARD)
    for shard in range(num_shards):
        size = min(CLIPS_PER_SHARD, num_clips - shard * CLIPS_PER_SHARD)
        if shard >= NUM_MADE and size == CLIPS_PER_SHARD:
            made = directory / shard_name(shard % NUM_MADE)
            shutil.copyfile(made, directory / shard_name(shard))
        else:
            writer.write(shard, make_clips(rng, shard * CLIPS_PER_SHARD, size))
    writer.finish(num_shards)


def make_clips(rng: np.random.Generator, first: int, size: int) -> list[Clip]:
    codes = rng.integers(0, 1024, (size, 3, 9)).astype(np.uint16)
    return [
        Clip(
            id=f"speaker-{i % 997:04d}/clip-{i:07d}",
            text=f"[S1] This is sentence number {i}, and it goes on as most sentences do.",
            language="en",
            speaker=f"speaker-{i % 997:04d}",
            codes=Codes(codes[i - first]),
            source=f"speaker-{i % 997:04d}/clip-{i:07d}.flac",
        )
        for i in range(first, first + size)
    ]


def read_peak_mb() -> float:
    """VmHWM; `getrusage` would count what the parent had when it started this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(directory: Path) -> None:
    """In a process of its own, so that the memory is that of opening alone."""
    imported_mb = read_peak_mb()
    started_s = time.perf_counter()
    corpus = Corpus.open(directory)
    opened_s = time.perf_counter() - started_s
    opened_mb = read_peak_mb()
    indices = np.random.default_rng(1).integers(0, len(corpus), READ_AT_RANDOM)
    started_s = time.perf_counter()
    for index in indices:
        corpus[int(index)]
    read_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    hours = corpus.lengths.sum() / SPEC.frames_per_second / 3600
    lengths_s = time.perf_counter() - started_s
    lengths_mb = read_peak_mb()
    started_s = time.perf_counter()
    dataset = DiaDataset(corpus, split="train", max_seconds=30.0)
    num_bytes = sum(dataset.text_lengths)
    fingerprint = corpus.fingerprint
    started_training_s = time.perf_counter() - started_s
    assert num_bytes and fingerprint
    peak_mb = read_peak_mb()
    print(
        f"{len(corpus)} clips, {hours:.0f} h: opened in {opened_s:.2f} s; "
        f"{1000 * read_s / READ_AT_RANDOM:.2f} ms a clip at random; lengths in {lengths_s:.2f} s; "
        f"split, bytes of text and fingerprint in {started_training_s:.1f} s; "
        f"peak {imported_mb:.0f} MB imported, {opened_mb:.0f} opened, {lengths_mb:.0f} with "
        f"lengths, {peak_mb:.0f} in the end",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.directory)
        return
    if not (arguments.directory / "corpus.json").exists():
        started_s = time.perf_counter()
        make(arguments.directory, arguments.clips)
        print(f"made in {time.perf_counter() - started_s:.0f} s", flush=True)
    print(
        f"{INDEX_FILE}: {(arguments.directory / INDEX_FILE).stat().st_size / 1e6:.1f} MB",
        flush=True,
    )
    for _ in range(ROUNDS):
        subprocess.run(
            [sys.executable, __file__, str(arguments.directory), "--measure"], check=True
        )


if __name__ == "__main__":
    main()
