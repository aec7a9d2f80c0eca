"""Makes the clips and transcripts that `dialoom demo` learns: the same bytes on every run.

    python recipes/demo_corpus/make.py

needs espeak-ng and ffmpeg (with libopus) on the PATH. Two synthetic voices take the two speakers;
the sentences are written for dialoom and between them hold every phoneme of English. Every clip
opens differently, so that a small model can tell from its first words which one it is to say.
"""

import argparse
import csv
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

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

SCRIPTS = (
    "[S1] Could you open the door for the others?",
    "[S2] I think the north wind is getting colder.",
    "[S1] Nine threads run side by side. [S2] Why nine?",
    "[S2] Each thread carries a part of your voice.",
    "[S1] The first one is coarse, the last one is fine.",
    "[S2] How long does it take? [S1] About five minutes.",
    "[S1] Please choose a colour for the border.",
    "[S2] Yellow, with a touch of deep blue.",
    "[S1] Would you like a cup of tea? [S2] Yes, please.",
    "[S2] My brother is joining us at half past four.",
    "[S1] Children usually measure twice and cut once.",
    "[S2] That sounds wise. [S1] It saves a lot of cloth.",
    "[S1] Where shall we put it? [S2] Over the table.",
    "[S2] Let us watch the clouds from this window.",
    "[S1] Quick, hand me the small red shuttle!",
    "[S2] Here it is. [S1] Well caught, my friend.",
    "[S1] A good machine hums; a bad one rattles.",
    "[S2] Even my old father enjoys the music.",
    "[S2] Every voice is a thread in this picture.",
    "[S2] Both edges are smooth and very straight.",
    "[S1] Zoe bought three yards of it for her garage.",
    "[S2] Five, six, seven, eight: the pattern repeats.",
    "[S1] Now listen to the cloth. [S2] It can speak!",
    "[S2] Goodbye, and thanks for an unusual day.",
    "[S1] Good morning, and welcome to the weaving room.",
    "[S2] Thank you, I have never seen such a big loom.",
    "[S1] Rain is falling on the southern hills.",
    "[S1] Is it finished? [S2] Not yet, just one more row.",
)
"""`dialoom prepare --valid-fraction 0.12` keeps the clips 1, 2, 13 and 19 for validation."""


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
    for number, script in enumerate(SCRIPTS, start=1):
        speakers = sorted({tag.strip("[]").lower() for tag, _ in split_turns(script)})
        samples, sample_rate_hz = say_script(script)
        name = f"clips/demo_{number:02d}.opus"
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
