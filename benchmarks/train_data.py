"""What a training pays besides the model: codec, data, optimizer; and as its corpus grows.

    python benchmarks/train_data.py [--threads 2] [--clock wall|cpu] [--part codec|shares|growth]

codec: from recordings, second epoch on, against a dataset that encodes them every time with a DAC
of 44.1 kHz (random weights: the work is the same), both training the model of train_speed.py.
shares: making a batch, clip and update, and the log, as shares of a step. growth: order, memory and
batches of corpora from 1 h to 1,000 h (synthetic lengths).
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from train_speed import FRAMES_PER_SECOND, dialoom_step, new_model

from dialoom.codec import CodecSpec, Codes
from dialoom.data import Batch, Clip, Corpus, CorpusWriter, DiaDataset, LengthBucketSampler, collate
from dialoom.model import DiaModel
from dialoom.text import TagTable
from dialoom.train.meter import Meter
from dialoom.train.step import Objective, train_step

SPEC = CodecSpec("benchmark", "0" * 64, 44_100, 512, 9, 1024)
CLIP_SECONDS = 4.0
Clock = Callable[[], float]


def to_batch(clips: list[Clip], model: DiaModel) -> Batch:
    return collate(
        clips,
        layout=model.config.layout,
        tags=TagTable.default(),
        frames_per_second=FRAMES_PER_SECOND,
        packed=True,
    )


def write_clips(directory: Path, count: int) -> DiaDataset:
    """Recordings, and the corpus that was once made of them."""
    rng = np.random.default_rng(0)
    clips = []
    for number in range(count):
        samples = rng.standard_normal(round(CLIP_SECONDS * 44_100)).astype(np.float32) * 0.1
        soundfile.write(directory / f"{number}.wav", samples, 44_100)
        frames = rng.integers(0, 1024, (round(CLIP_SECONDS * FRAMES_PER_SECOND), 9))
        clips.append(Clip(str(number), "a" * 60, None, None, Codes(frames.astype(np.uint16))))
    writer = CorpusWriter(directory / "corpus", SPEC, valid_fraction=0.0)
    writer.write(0, clips)
    writer.finish(1)
    return DiaDataset(Corpus.open(directory / "corpus"), split="train")


def codec_inside() -> Callable[[Path], Codes]:
    """What a dataset does that encodes in `__getitem__`."""
    from transformers import DacConfig, DacModel

    model = DacModel(DacConfig()).eval()

    @torch.inference_mode()
    def encode(path: Path) -> Codes:
        samples, _ = soundfile.read(path, dtype="float32")
        codes = model.encode(torch.from_numpy(samples)[None, None]).audio_codes[0]
        return Codes(codes.T.numpy().astype(np.uint16))

    return encode


def codec(clock: Clock, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        dataset = write_clips(directory, 8)
        model = new_model()
        step, encode = dialoom_step(model), codec_inside()

        def from_corpus() -> float:
            batch = to_batch([dataset[i] for i in range(8)], model)
            step(batch)
            return batch.audio_seconds

        def encoding() -> float:
            clips = [Clip("0", "a" * 60, None, None, encode(directory / "0.wav"))]
            batch = to_batch(clips, model)
            step(batch)
            return batch.audio_seconds

        rates: dict[str, float] = {}
        from_corpus()
        for _ in range(rounds):
            for contender in (from_corpus, encoding):
                started = clock()
                seconds = contender()
                rate = seconds / (clock() - started)
                rates[contender.__name__] = max(rate, rates.get(contender.__name__, 0.0))
    ratio = rates["from_corpus"] / rates["encoding"]
    print(
        f"codes once: {rates['from_corpus']:.1f} audio-s/s; codec in the dataset: "
        f"{rates['encoding']:.2f}; ratio {ratio:.1f}"
    )


def shares(clock: Clock, rounds: int) -> None:
    """Median seconds of each part of a step of about 56 s of speech."""
    model = new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective, meter = Objective(clip_norm=1.0), Meter(10**6)
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        dataset = write_clips(Path(name), 14)
        for _ in range(rounds):
            times = [clock()]
            batch = to_batch([dataset[i] for i in range(14)], model)
            times.append(clock())
            result = train_step(model, [batch], optimizer, objective)
            times.append(clock())
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            times.append(clock())
            meter.add(result, 1.0)
            meter.record(1, 1.0, lr=1.0)
            times.append(clock())
            names = ("making the batch", "step", "of it clip and update", "log")
            for part, start, end in zip(names, times, times[1:], strict=False):
                parts.setdefault(part, []).append(end - start)
    whole = float(np.median(parts["step"]))
    for part, seconds in parts.items():
        median = float(np.median(seconds))
        print(f"{part}: {1000 * median:.1f} ms, {median / whole:.2%} of the step")


def growth(clock: Clock) -> None:
    print(
        "| corpus, h | clips | order of an epoch, s | per audio-hour, ms | memory, MB | per h, kB |"
    )
    print("|---|---|---|---|---|---|")
    for hours in (1, 10, 100, 1000):
        rng = np.random.default_rng(0)
        lengths = rng.integers(172, 1034, round(hours * 3600 / 7)).tolist()
        for packed in (True, False):
            tracemalloc.start()
            sampler = LengthBucketSampler(
                lengths, batch_size=64, seed=0, max_frames=4800, packed=packed
            )
            batches = sampler.epoch_batches(1)
            memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            started = clock()
            del batches
            sampler.epoch_batches(2)
            seconds = clock() - started
            kind = "packed" if packed else "padded"
            print(
                f"| {hours}, {kind} | {len(lengths)} | {seconds:.3f} | "
                f"{1000 * seconds / hours:.2f} | {memory / 1e6:.1f} | {memory / 1e3 / hours:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--part", choices=("codec", "shares", "growth"))
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    for name, part in (("codec", codec), ("shares", shares)):
        if arguments.part in (None, name):
            part(clock, arguments.rounds)
    if arguments.part in (None, "growth"):
        growth(clock)


if __name__ == "__main__":
    main()
