"""How long until a streamed sentence is heard, on a CPU with a model of preset `mini`.

    python benchmarks/time_to_first_audio.py [MODEL] [--repeats 15] [--threads 2]

From the call of `Synthesizer.stream` to its first piece; everything is loaded, and one sentence was
spoken before. Processor time is beside it: on a machine that other work shares, with one thread, it
is what remains without the waiting for a core. MODEL is one with the codec `mini`; without it,
random weights of that shape are taken, which are as slow. Prints a Markdown table, with and without
guidance, and how long one decoder step takes: the first piece needs a step for each frame in it,
besides the delay of the last channel and the frames that the codec looks ahead.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

from dialoom.checkpoint import ModelInfo
from dialoom.codec import load_codec
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.streaming import FIRST_CHUNK_FRAMES
from dialoom.model import PRESETS, DiaModel, initialize

TEXT = "[S1] Could you tell me where the station is, please?"


def random_synthesizer() -> Synthesizer:
    codec = load_codec("mini")
    model = DiaModel(PRESETS["mini"])
    initialize(model, seed=0)
    with torch.no_grad():
        model.logits_dense.weight[model.config.layout.eos_id] = 0
    return Synthesizer(model.eval(), ModelInfo(codec=codec.spec), codec)


@dataclass(frozen=True)
class First:
    """Of one first piece: until it was there, on the clock and of the processor; its length."""

    clock_s: float
    processor_s: float
    length_s: float


def first_piece(synthesizer: Synthesizer, settings: SamplingSettings) -> First:
    clock, processor = time.perf_counter(), time.process_time()
    piece = next(synthesizer.stream(TEXT, settings))
    return First(time.perf_counter() - clock, time.process_time() - processor, piece.duration_s)


def step_s(synthesizer: Synthesizer, settings: SamplingSettings) -> float:
    """Of the median decoder step, after the first."""
    times = []
    stream = synthesizer.stream_codes(TEXT, settings)
    next(stream)
    for _ in range(40):
        start = time.perf_counter()
        next(stream)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    synthesizer = (
        Synthesizer.load(arguments.model, codec="mini") if arguments.model else random_synthesizer()
    )
    contenders = {
        "guidance 3": SamplingSettings(),
        "no guidance": SamplingSettings(cfg_scale=0),
    }
    firsts: dict[str, list[First]] = {name: [] for name in contenders}
    for repeat in range(arguments.repeats + 1):
        for name, settings in contenders.items():
            first = first_piece(synthesizer, settings)
            if repeat:
                firsts[name].append(first)
    layout = synthesizer.model.config.layout
    steps = FIRST_CHUNK_FRAMES + synthesizer.codec.reach.after + layout.max_delay
    print(
        f"{synthesizer.model.num_parameters / 1e6:.1f} M parameters, {arguments.threads} threads, "
        f"{arguments.repeats} repeats, first piece {1000 * first.length_s:.0f} ms, {steps} steps"
    )
    print("| | best, ms | median, ms | worst, ms | processor, median, ms | one step, ms |")
    print("|---|---|---|---|---|---|")
    for name, found in firsts.items():
        clock = [first.clock_s for first in found]
        processor_s = statistics.median(first.processor_s for first in found)
        figures = (min(clock), statistics.median(clock), max(clock), processor_s)
        cells = [f"{1000 * value:.0f}" for value in figures]
        step_ms = 1000 * step_s(synthesizer, contenders[name])
        print(f"| {name} | {' | '.join(cells)} | {step_ms:.2f} |")


if __name__ == "__main__":
    main()
