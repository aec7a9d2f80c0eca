"""Does a long dialogue keep its voices, without gaps or clicks where its parts meet?

    python benchmarks/long_dialogue.py MODEL [--seconds 180] [--part-seconds 5 16] \\
        [--context-seconds S] [--script FILE] [--out DIRECTORY]

Speaks a dialogue of two speakers and measures, for each part: how far its long-term mel-cepstral
mean is from that of the first part of the same speakers, and from that of the first part of others
(dB, root-mean-square over the mel bands, pauses left out); the pause before it; and the largest
second difference of the samples within 50 ms of the join against the largest anywhere else, which
a click exceeds. A model that was trained on short clips needs short parts and little context: one
of clips up to 5 s for example --part-seconds 1.2 2.6 --context-seconds 5.
"""

import argparse
import random
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from dialoom.audio import Waveform, write_audio
from dialoom.evaluate.cepstra import DB_PER_UNIT, mel_cepstra
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.narration import Narration, NarrationOptions, SpokenPart
from dialoom.generate.parts import PartLimits
from dialoom.generate.pauses import SILENT_PEAK
from dialoom.generate.subtitles import write_subtitles
from dialoom.text import split_turns

HOP_S = 0.02
JOIN_S = 0.05
MAX_PAUSE_S = 0.6


def written_dialogue(seconds: float, bytes_per_second: float, seed: int) -> str:
    """Turns of everyday English, by the grammar of recipes/mini_model."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "mini_model"))
    from sentences import say_english

    rng = random.Random(seed)
    turns: list[str] = []
    while len(" ".join(turns)) < seconds * bytes_per_second:
        turns.append(f"[S{1 + len(turns) % 2}] {say_english(rng)}")
    return " ".join(turns)


def voiced_mean(waveform: Waveform, part: SpokenPart) -> np.ndarray:
    """Long-term mean of the mel-cepstra of a part, over frames that are no pause."""
    rate = waveform.sample_rate_hz
    samples = waveform.samples[round(part.start_s * rate) : round(part.end_s * rate)]
    cepstra = mel_cepstra(Waveform(samples, rate), hop_s=HOP_S)
    hop = round(HOP_S * rate)
    peaks = [np.abs(samples[i * hop : (i + 1) * hop]).max(initial=0) for i in range(len(cepstra))]
    return cepstra[np.array(peaks) >= SILENT_PEAK].mean(axis=0)


def distance_db(first: np.ndarray, second: np.ndarray) -> float:
    return float(DB_PER_UNIT * np.sqrt(((first - second) ** 2).sum()))


def speakers(part: SpokenPart) -> str:
    return "+".join(sorted({turn.speaker.strip("[]") for turn in split_turns(part.text)}))


def roughness(waveform: Waveform, parts: list[SpokenPart]) -> list[float]:
    """Of each join, the largest second difference against the largest away from all joins."""
    second = np.abs(np.diff(waveform.samples, 2))
    near = round(JOIN_S * waveform.sample_rate_hz)
    spans = []
    away = np.ones(second.size, bool)
    for before, after in pairwise(parts):
        edges = (before.end_s, after.start_s)
        low, high = (round(edge * waveform.sample_rate_hz) for edge in edges)
        spans.append(slice(max(0, low - near), high + near))
        away[spans[-1]] = False
    return [float(second[span].max() / second[away].max()) for span in spans]


def report(waveform: Waveform, parts: list[SpokenPart]) -> None:
    heard = [part for part in parts if part.end_s > part.start_s]
    means = [voiced_mean(waveform, part) for part in heard]
    firsts: dict[str, np.ndarray] = {}
    own, others, pauses = [], [], [0.0]
    rough = [0.0, *roughness(waveform, heard)]
    pauses += [after.start_s - before.end_s for before, after in pairwise(heard)]
    print("| part | speakers | s | own first, dB | others' first, dB | pause, s | join | fault |")
    print("|---|---|---|---|---|---|---|---|")
    for index, (part, mean) in enumerate(zip(heard, means, strict=True)):
        name = speakers(part)
        first = firsts.setdefault(name, mean)
        own_db = distance_db(mean, first)
        other_db = [distance_db(mean, value) for key, value in firsts.items() if key != name]
        if own_db:
            own.append(own_db)
            others += other_db[:1]
        print(
            f"| {index + 1} | {name} | {part.start_s:.1f}–{part.end_s:.1f} | {own_db:.2f} | "
            f"{min(other_db, default=float('nan')):.2f} | {pauses[index]:.2f} | "
            f"{rough[index]:.2f} | {part.fault or ''} |"
        )
    print(
        f"\n{len(parts)} parts, {len(parts) - len(heard)} of them not heard, "
        f"{sum(part.fault is not None for part in parts)} with a fault"
    )
    if own:
        third = max(1, len(own) // 3)
        print(
            f"own first: median {np.median(own):.2f} dB, first third {np.median(own[:third]):.2f}, "
            f"last third {np.median(own[-third:]):.2f}; others' first: "
            f"median {np.median(others) if others else float('nan'):.2f} dB"
        )
    print(f"longest pause at a join {max(pauses):.2f} s (at most {MAX_PAUSE_S} s wanted)")
    print(f"roughest join {max(rough):.2f} of the roughest sound elsewhere (a click is over 1)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--part-seconds", type=float, nargs=2, default=(5.0, 16.0))
    parser.add_argument("--context-seconds", type=float)
    parser.add_argument("--bytes-per-second", type=float, default=15.0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=SamplingSettings.temperature)
    parser.add_argument("--cfg-scale", type=float, default=SamplingSettings.cfg_scale)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--language")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    if arguments.script is None:
        text = written_dialogue(arguments.seconds, arguments.bytes_per_second, arguments.seed)
    else:
        text = arguments.script.read_text(encoding="utf-8")
    options = NarrationOptions(
        PartLimits(*arguments.part_seconds, arguments.bytes_per_second),
        arguments.context_seconds,
        max_pause_s=MAX_PAUSE_S,
        retries=arguments.retries,
    )
    settings = SamplingSettings(
        temperature=arguments.temperature, cfg_scale=arguments.cfg_scale, seed=arguments.seed
    )
    synthesizer = Synthesizer.load(arguments.model)
    narration = Narration(synthesizer, text, settings, options, language=arguments.language)
    start = time.perf_counter()
    samples = np.concatenate([waveform.samples for waveform in narration])
    seconds = time.perf_counter() - start
    waveform = Waveform(samples, synthesizer.codec_spec.sample_rate_hz)
    report(waveform, narration.parts)
    print(f"{waveform.duration_s:.1f} s of speech in {seconds:.1f} s")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_audio(arguments.out / "dialogue.wav", waveform)
        write_subtitles(arguments.out / "dialogue.srt", narration.parts)


if __name__ == "__main__":
    main()
