"""Sound to train on: synthetic voices of espeak-ng, and folders of recordings.

Everything is 22.05 kHz, 16-bit and in memory: an hour is 160 MB. Recordings are few as a rule, so
each is kept at several speeds as well, which moves pitch and formants like another speaker would.
"""

import io
import random
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from sentences import SENTENCES

RATE_HZ = 22_050
PEAK = 0.7

VARIANTS = (
    "f1 f2 f3 f5 m1 m2 m3 m4 m5 m7 m8 klatt klatt2 klatt4 klatt5 adam alex Alicia andy Annie "
    "antonio aunty belinda benjamin boris caleb david Denis ed edward Gene grandma grandpa "
    "gustave Henrique Hugo iven iven3 Jacky john kaukovalta Lee linda Marcelo Marco max michael "
    "michel miguel Mr Nguyen pablo paul quincy rob robert sandro shelby steph2 Storm travis "
    "victor whisper croak zac"
).split()
HELD_OUT_VARIANTS = "f4 m6 klatt3 steph mario pedro Andrea norbert anika Diogo".split()
LANGUAGES = "de fr fr-be es es-419 it nl pl pt pt-br tr sv hu ru vi cmn".split()
ENGLISH = "en-us en-us en-gb en-gb-scotland en-gb-x-rp en-029 en-us-nyc".split()


@dataclass(frozen=True)
class Line:
    """One thing for espeak-ng to say: `speed` in words per minute, `pitch` 0 to 99."""

    voice: str
    text: str
    speed: int = 170
    pitch: int = 50


def speak(line: Line) -> NDArray[np.int16]:
    """The sound of one line at 22.05 kHz; empty where espeak-ng does not know the voice."""
    command = ["espeak-ng", "-v", line.voice, "-s", str(line.speed), "-p", str(line.pitch)]
    made = subprocess.run([*command, "--stdout", line.text], capture_output=True, check=False)
    if made.returncode != 0 or len(made.stdout) <= 44:
        return np.zeros(0, np.int16)
    samples, rate_hz = soundfile.read(io.BytesIO(made.stdout), dtype="float32")
    return to_int16(resampled(samples, rate_hz))


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Scaled to a common peak, so that gain is the augmentation's affair alone."""
    peak = float(np.abs(samples).max(initial=1e-4))
    return (samples * (PEAK / peak) * 32767).astype(np.int16)


def resampled(samples: NDArray[np.float32], rate_hz: float) -> NDArray[np.float32]:
    if rate_hz == RATE_HZ:
        return samples
    changed: NDArray[np.float32] = soxr.resample(samples, rate_hz, RATE_HZ)
    return changed


def training_lines(texts: list[str], rng: random.Random, count: int) -> Iterable[Line]:
    """Two thirds English, one third the other languages; every line another voice."""
    english = texts or list(SENTENCES["en"])
    for _ in range(count):
        variant, speed, pitch = rng.choice(VARIANTS), rng.randint(120, 220), rng.randint(15, 85)
        language = rng.choice(ENGLISH) if rng.random() < 0.66 else rng.choice(LANGUAGES)
        known = english if language.startswith("en") else SENTENCES[language.split("-")[0]]
        yield Line(f"{language}+{variant}", rng.choice(known), speed, pitch)


def held_out_lines() -> list[Line]:
    """Voices that `training_lines` never uses, at other speeds and pitches."""
    languages = ("en-us", "en-gb", "de", "en-us", "fr")
    return [
        Line(
            f"{language}+{variant}",
            SENTENCES[language[:2]][index % 6],
            speed=140 + 12 * (index % 5),
            pitch=35 + 6 * (index % 6),
        )
        for index, variant in enumerate(HELD_OUT_VARIANTS)
        for language in (languages[index % 5], "en-us")
    ]


def synthetic_clips(texts: list[str], *, minutes: float, seed: int) -> list[NDArray[np.int16]]:
    """About `minutes` of speech; a line lasts about five seconds."""
    lines = list(training_lines(texts, random.Random(seed), round(minutes * 60 / 5)))
    with ThreadPoolExecutor(2) as pool:
        return [clip for clip in pool.map(speak, lines) if len(clip) >= RATE_HZ]


def read_recording(path: Path) -> NDArray[np.float32]:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return resampled(samples.mean(axis=1), rate_hz)


def recorded_clips(paths: list[Path], *, speeds: int, seed: int) -> list[NDArray[np.int16]]:
    """Each recording as it is and at `speeds` other speeds between 0.72 and 1.4."""
    rng = random.Random(seed)
    clips = []
    for path in paths:
        samples = read_recording(path)
        clips.append(to_int16(samples))
        for _ in range(speeds):
            factor = 2 ** rng.uniform(-0.47, 0.49)
            clips.append(to_int16(resampled(samples, RATE_HZ * factor)))
    return [clip for clip in clips if len(clip) >= RATE_HZ]


def list_recordings(folders: list[Path], skip: set[str]) -> list[Path]:
    """Audio files below the folders, sorted, without those whose stem is in `skip`."""
    kinds = {".wav", ".flac", ".ogg", ".mp3"}
    found = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return [path for path in found if path.suffix.lower() in kinds and path.stem not in skip]


class CropSampler:
    """Draws augmented crops: which pool, which clip, where, how loud, through which filter.

    Args:
        pools: clips by kind, each with the share of crops that it gives.
        num_samples: length of a crop.
        seed: of every choice.
    """

    def __init__(
        self, pools: list[tuple[float, list[NDArray[np.int16]]]], num_samples: int, seed: int
    ) -> None:
        self.shares = np.array([share for share, clips in pools if clips])
        self.shares /= self.shares.sum()
        self.pools = [clips for _, clips in pools if clips]
        self.weights = []
        for clips in self.pools:
            lengths = np.array([len(clip) for clip in clips], np.float64)
            self.weights.append(np.cumsum(lengths) / lengths.sum())
        self.num_samples = num_samples
        self.rng = np.random.default_rng(seed)

    def crop(self) -> NDArray[np.float32]:
        """One crop without augmentation, seldom a silent one."""
        pool = int(self.rng.choice(len(self.pools), p=self.shares))
        for _ in range(4):
            index = int(np.searchsorted(self.weights[pool], self.rng.random()))
            clip = self.pools[pool][min(index, len(self.pools[pool]) - 1)]
            start = int(self.rng.integers(0, max(1, len(clip) - self.num_samples + 1)))
            piece = clip[start : start + self.num_samples].astype(np.float32) / 32768
            if piece.std() > 0.01:
                break
        return np.pad(piece, (0, self.num_samples - len(piece)))

    def filtered(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Through a random smooth equaliser of at most ±9 dB: microphones, rooms, vocal tracts."""
        spectrum = np.fft.rfft(samples)
        knots_db = self.rng.uniform(-9, 9, 7) * self.rng.random()
        position = np.linspace(0, 1, len(spectrum)) ** 0.5 * 6
        gain = 10 ** (np.interp(position, np.arange(7), knots_db) / 20)
        return np.fft.irfft(spectrum * gain, len(samples)).astype(np.float32)

    def augmented(self) -> NDArray[np.float32]:
        rng = self.rng
        samples = self.crop()
        if rng.random() < 0.08:
            samples = samples + self.crop() * 10 ** (rng.uniform(-20, -2) / 20)
        if rng.random() < 0.6:
            samples = self.filtered(samples)
        if rng.random() < 0.3:
            noise = rng.standard_normal(self.num_samples).astype(np.float32)
            samples = samples + noise * 10 ** rng.uniform(-4.5, -2.5)
        gain = 10 ** (rng.uniform(-15, 2) / 20) * rng.choice((-1.0, 1.0))
        clipped: NDArray[np.float32] = np.clip(samples * gain, -1.0, 1.0).astype(np.float32)
        return clipped

    def batch(self, size: int) -> NDArray[np.float32]:
        return np.stack([self.augmented() for _ in range(size)])
