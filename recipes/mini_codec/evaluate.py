"""How good the codec `mini` is: intelligibility, use of its codebooks, speed, size.

STOI (Taal et al. 2011; pystoi) compares a sound with its round trip through the codec, on voices of
espeak-ng and on recordings that training did not see.
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from corpus import RATE_HZ, held_out_lines, list_recordings, read_recording, speak
from numpy.typing import NDArray
from pystoi import stoi

from dialoom.audio.resample import resample
from dialoom.audio.waveform import Waveform
from dialoom.codec.mini import WEIGHTS_NAME, MiniCodec


def round_trips(
    codec: MiniCodec, sounds: Iterable[Waveform]
) -> tuple[list[float], list[NDArray[np.uint16]]]:
    """STOI and codes of each sound."""
    scores, codes = [], []
    for sound in sounds:
        encoded = codec.encode(sound)
        made = resample(codec.decode(encoded), RATE_HZ).samples
        length = min(len(made), sound.num_samples)
        scores.append(float(stoi(sound.samples[:length], made[:length], RATE_HZ)))
        codes.append(encoded.frames)
    return scores, codes


def perplexities(frames: NDArray[np.uint16], size: int) -> list[float]:
    """exp of the entropy of every codebook's ids: how many are in use, as if evenly."""
    values = []
    for column in frames.T:
        share = np.bincount(column, minlength=size) / len(column)
        share = share[share > 0]
        values.append(float(np.exp(-(share * np.log(share)).sum())))
    return values


def repeats(codes: list[NDArray[np.uint16]]) -> list[float]:
    """Share of frames whose id is that of the frame before, by codebook: the codes' steadiness."""
    same = np.concatenate([clip[1:] == clip[:-1] for clip in codes])
    return [float(value) for value in same.mean(axis=0)]


def speeds(codec: MiniCodec, sound: Waveform, seconds: float = 20.0) -> dict[str, float]:
    """Seconds of audio per second of work; the best of three, for other work shares the machine."""
    repeats_needed = int(np.ceil(seconds / sound.duration_s))
    long = Waveform(np.tile(sound.samples, repeats_needed), sound.sample_rate_hz)
    best = {"encode": np.inf, "decode": np.inf}
    for _ in range(3):
        started = time.perf_counter()
        codes = codec.encode(long)
        between = time.perf_counter()
        codec.decode(codes)
        best["encode"] = min(best["encode"], between - started)
        best["decode"] = min(best["decode"], time.perf_counter() - between)
    return {name: long.duration_s / taken for name, taken in best.items()}


def synthetic_voices() -> list[Waveform]:
    sounds = [speak(line) for line in held_out_lines()]
    return [Waveform(sound.astype(np.float32) / 32768, RATE_HZ) for sound in sounds]


def measure(codec: MiniCodec, weights: Path, recordings: list[Path]) -> dict[str, object]:
    synthetic = synthetic_voices()
    recorded = [Waveform(read_recording(path), RATE_HZ) for path in recordings]
    result: dict[str, object] = {"bytes": weights.stat().st_size}
    all_codes = []
    for name, sounds in (("synthetic", synthetic), ("recorded", recorded)):
        if sounds:
            scores, codes = round_trips(codec, sounds)
            result[f"stoi_{name}"] = {
                "mean": float(np.mean(scores)),
                "min": min(scores),
                "clips": len(scores),
            }
            all_codes += codes
    result["frames"] = sum(map(len, all_codes))
    result["perplexity"] = perplexities(np.concatenate(all_codes), codec.spec.codebook_size)
    result["repeats"] = repeats(all_codes)
    result["times_real_time"] = speeds(codec, synthetic[0])
    return result


def print_table(result: dict[str, object]) -> None:
    for name, value in result.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {number:.4g}" for key, number in value.items())
        elif isinstance(value, list):
            text = " ".join(f"{number:.3g}" for number in value)
        else:
            text = str(value)
        print(f"{name:16} {text}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "src/dialoom/codec" / WEIGHTS_NAME
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="folders of audio")
    parser.add_argument("--only", nargs="*", default=[], help="stems of the held-out recordings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    paths = list_recordings(options.recordings, skip=set())
    paths = [path for path in paths if not options.only or path.stem in options.only]
    result = measure(MiniCodec.load(options.weights), options.weights, paths)
    print_table(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
