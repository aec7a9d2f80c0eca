"""Makes the clips and transcripts that `dialoom demo` learns: the same bytes on every run.

    python recipes/demo_corpus/make.py

needs espeak-ng and ffmpeg (with libopus) on the PATH. Two synthetic voices take the two speakers;
neither is among the voices of the base model `mini`. The sentences, scripts.txt, are by the grammar
of recipes/mini_model, and the base was trained on none of them.
"""

import argparse
import csv
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

SCRIPTS = Path(__file__).with_name("scripts.txt")
"""One script a line."""

OUT = Path(__file__).resolve().parents[2] / "src" / "dialoom" / "demo_data"

EDGE_S = 0.06
"""Silence kept before and after a clip."""

TURN_GAP_S = 0.18
"""Silence between two speakers."""

SILENCE = 0.004
"""Samples under this share of full scale at a clip's ends are silence."""

RMS = 0.09
"""Level that every turn is brought to."""

BITRATE_KBPS = 48


@dataclass(frozen=True)
class Voice:
    """What espeak-ng is asked for."""

    name: str
    words_per_minute: int
    pitch: int


VOICES = {
    "[S1]": Voice("en-gb+m3", words_per_minute=160, pitch=38),
    "[S2]": Voice("en-us+f2", words_per_minute=165, pitch=62),
}


def split_turns(script: str) -> list[tuple[str, str]]:
    """Inverse of joining turns with spaces: [("[S1]", "Good morning …"), …]."""
    words = script.split()
    starts = [i for i, word in enumerate(words) if word in VOICES]
    ends = [*starts[1:], len(words)]
    return [
        (words[start], " ".join(words[start + 1 : end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def speak(voice: Voice, sentence: str) -> tuple[np.ndarray, int]:
    """One turn without the silence around it, at the level RMS, and its sample rate."""
    command = ["espeak-ng", "-v", voice.name, "-s", str(voice.words_per_minute)]
    command += ["-p", str(voice.pitch), "--stdout", sentence]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, sample_rate_hz = sf.read(io.BytesIO(wav), dtype="float32")
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    samples = samples[loud[0] : loud[-1] + 1]
    return samples * (RMS / np.sqrt(np.mean(samples**2))), sample_rate_hz


def say_script(script: str) -> tuple[np.ndarray, int]:
    """All turns of a script, one after the other."""
    parts: list[np.ndarray] = []
    sample_rate_hz = 0
    for tag, sentence in split_turns(script):
        samples, sample_rate_hz = speak(VOICES[tag], sentence)
        gap_s = TURN_GAP_S if parts else EDGE_S
        parts += [np.zeros(round(gap_s * sample_rate_hz), dtype=np.float32), samples]
    parts.append(np.zeros(round(EDGE_S * sample_rate_hz), dtype=np.float32))
    return np.concatenate(parts), sample_rate_hz


def write_opus(path: Path, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Through ffmpeg with bit-exact flags: libsndfile gives each Ogg stream a random number."""
    wav = io.BytesIO()
    sf.write(wav, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "wav", "-i", "pipe:0", "-ac", "1"]
    command += ["-c:a", "libopus", "-b:a", f"{BITRATE_KBPS}k", "-fflags", "+bitexact"]
    command += ["-flags", "+bitexact", "-map_metadata", "-1", str(path)]
    subprocess.run(command, input=wav.getvalue(), check=True)


def make(out: Path) -> None:
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    total_s = 0.0
    for number, script in enumerate(SCRIPTS.read_text("utf-8").splitlines(), start=1):
        speakers = sorted({tag.strip("[]").lower() for tag, _ in split_turns(script)})
        samples, sample_rate_hz = say_script(script)
        name = f"clips/demo_{number:03d}.opus"
        write_opus(out / name, samples, sample_rate_hz)
        rows.append((name, script, "en", "+".join(speakers)))
        duration_s = len(samples) / sample_rate_hz
        total_s += duration_s
        print(f"{name}  {duration_s:.2f} s  {script}")
    with (out / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("audio", "text", "language", "speaker"))
        writer.writerows(rows)
    print(f"{len(rows)} clips, {total_s:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    make(parser.parse_args().out)
