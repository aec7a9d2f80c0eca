"""Clips decoded together against one by one, with the codec `mini`.

    python benchmarks/codec_speed.py [--rounds 7]

Both by turns in one process; a row is the median of the rounds, by the clock.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dialoom.audio import Waveform
from dialoom.codec import Codec, Codes, load_codec

SETS = ((4, 100), (8, 20), (8, 300), (16, 430))
"""Clips, and frames of each."""


def seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def decode_each(codec: Codec, clips: Sequence[Codes]) -> list[Waveform]:
    return [codec.decode(codes) for codes in clips]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    codec, random = load_codec("mini"), np.random.default_rng(0)
    print("| clips × frames | one by one, ms | together, ms | ratio | same samples |")
    print("|---|---|---|---|---|")
    for count, frames in SETS:
        ids = random.integers(0, codec.spec.codebook_size, (count, frames, 9)).astype(np.uint16)
        clips = [Codes(of_clip) for of_clip in ids]
        one_by_one = partial(decode_each, codec, clips)
        at_once = partial(codec.decode_many, clips)
        alone, together = [], []
        for _ in range(rounds):
            alone.append(seconds(one_by_one))
            together.append(seconds(at_once))
        is_same = all(
            np.array_equal(ours.samples, theirs.samples)
            for ours, theirs in zip(at_once(), one_by_one(), strict=True)
        )
        a_s, b_s = statistics.median(alone), statistics.median(together)
        print(
            f"| {count} × {frames} | {1000 * a_s:.1f} | {1000 * b_s:.1f} | {a_s / b_s:.2f} | "
            f"{'yes' if is_same else 'no'} |"
        )


if __name__ == "__main__":
    main()
