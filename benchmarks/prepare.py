"""What preparing costs beside the codec alone, and whether its memory grows with the source.

    python benchmarks/prepare.py cost SOURCE DIRECTORY [--rounds 7]
    python benchmarks/prepare.py memory DIRECTORY [--counts 100 1000 10000]

cost: the codec `mini` over the source's clips, processed beforehand, and `prepare` of the same
source, in turns in one process; wall time, and processor time, which counts the work of all threads
and hardly notices what else runs. memory: the peak of a process each, short clips, a codec that
costs nothing.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fake_audio import FakeCodec, write_tone

from dialoom.codec import load_codec
from dialoom.data import PrepareOptions, SourceClip, open_source, prepare
from dialoom.data.processing import ProcessedClip, process_clip


def cost(source: Path, directory: Path, rounds: int) -> None:
    codec, options = load_codec("mini"), PrepareOptions()
    clips = [entry for entry in open_source(source) if isinstance(entry, SourceClip)]
    processed = [process_clip(clip, codec.spec, options.processing) for clip in clips]
    waveforms = [clip.waveform for clip in processed if isinstance(clip, ProcessedClip)]
    assert len(waveforms) == len(clips)
    codec.encode(waveforms[0])
    alone: list[float] = []
    whole: list[float] = []
    work: list[float] = []
    for number in range(rounds):
        started_s, worked_s = time.perf_counter(), time.process_time()
        for waveform in waveforms:
            codec.encode(waveform)
        alone.append(time.perf_counter() - started_s)
        alone_worked_s = time.process_time() - worked_s
        shutil.rmtree(directory, ignore_errors=True)
        started_s, worked_s = time.perf_counter(), time.process_time()
        prepare(source, directory, options, codec=codec)
        whole.append(time.perf_counter() - started_s)
        work.append((time.process_time() - worked_s) / alone_worked_s)
        print(
            f"{number}: {alone[-1]:.2f} s, {whole[-1]:.2f} s, ratio {whole[-1] / alone[-1]:.3f}; "
            f"of processor time {work[-1]:.3f}",
            flush=True,
        )
    ratios = [b / a for a, b in zip(alone, whole, strict=True)]
    print(
        f"codec alone: median {statistics.median(alone):.2f} s, best {min(alone):.2f}; "
        f"prepare: median {statistics.median(whole):.2f} s, best {min(whole):.2f}; ratio: "
        f"median {statistics.median(ratios):.3f}, of the best {min(whole) / min(alone):.3f}; "
        f"of processor time: median {statistics.median(work):.3f}"
    )


def read_peak_mb() -> float:
    """VmHWM; `getrusage` would count what the parent had when it started this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(directory: Path, counts: list[int]) -> None:
    source = directory / "source"
    for i in range(max(counts)):
        path = source / f"{i:05d}.wav"
        if not path.exists():
            write_tone(path, 1.0, frequency_hz=100.0 + i % 700).with_suffix(".txt").write_text("a")
    for count in counts:
        subprocess.run([sys.executable, __file__, "peak", str(directory), str(count)], check=True)


def peak(directory: Path, count: int) -> None:
    table = directory / f"{count}.csv"
    rows = "".join(f"source/{i:05d}.wav,text {i}\n" for i in range(count))
    table.write_text(f"audio,text\n{rows}")
    out = directory / f"out-{count}"
    shutil.rmtree(out, ignore_errors=True)
    prepare(table, out, codec=FakeCodec())
    peak_mb = read_peak_mb()
    print(f"{count} clips: peak {peak_mb:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_cost = commands.add_parser("cost")
    of_cost.add_argument("source", type=Path)
    of_cost.add_argument("directory", type=Path)
    of_cost.add_argument("--rounds", type=int, default=7)
    of_memory = commands.add_parser("memory")
    of_memory.add_argument("directory", type=Path)
    of_memory.add_argument("--counts", type=int, nargs="+", default=[100, 1_000, 10_000])
    of_peak = commands.add_parser("peak")
    of_peak.add_argument("directory", type=Path)
    of_peak.add_argument("count", type=int)
    arguments = parser.parse_args()
    if arguments.command == "cost":
        cost(arguments.source, arguments.directory, arguments.rounds)
    elif arguments.command == "memory":
        memory(arguments.directory, arguments.counts)
    else:
        peak(arguments.directory, arguments.count)


if __name__ == "__main__":
    main()
