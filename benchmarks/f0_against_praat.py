"""The fundamental frequency of `dialoom evaluate` against Praat's, on the demo's clips.

    pip install praat-parselmouth==0.4.7
    python benchmarks/f0_against_praat.py

Praat is the reference of phonetics; it is under the GPL and 11 MB large, so dialoom has an
estimator of its own. Each clip is measured as recorded and after the codec mini's round trip.
"""

from importlib.resources import files
from pathlib import Path
from time import process_time

import numpy as np
import parselmouth

from dialoom.audio import Waveform, read_audio, resample
from dialoom.codec import load_codec
from dialoom.evaluate.f0 import HIGHEST_HZ, LOWEST_HZ, SAMPLE_RATE_HZ, measure_pitch, track_f0


def praat_track(waveform: Waveform) -> np.ndarray:
    """Hz in each 10 ms, NaN where unvoiced: autocorrelation, Boersma 1993."""
    sound = parselmouth.Sound(waveform.samples.astype(float), SAMPLE_RATE_HZ)
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    track = pitch.selected_array["frequency"]
    return np.where(track > 0, track, np.nan)


def figures(track: np.ndarray) -> tuple[float, float, float]:
    semitones = 12 * np.log2(track[~np.isnan(track)])
    return float(np.median(semitones)), float(semitones.std()), semitones.size / track.size


def main() -> None:
    clips = sorted(Path(str(files("dialoom") / "demo_data" / "clips")).iterdir())
    recordings = [resample(read_audio(clip), SAMPLE_RATE_HZ) for clip in clips]
    codec = load_codec("mini")
    coded = [resample(codec.decode(codec.encode(r)), SAMPLE_RATE_HZ) for r in recordings]
    print("| of each clip, median over clips | recordings | after the codec |")
    print("|---|---|---|")
    rows: list[list[str]] = []
    for waveforms in (recordings, coded):
        own = np.array([figures(track_f0(waveform)) for waveform in waveforms])
        praat = np.array([figures(praat_track(waveform)) for waveform in waveforms])
        apart = np.abs(own[:, 0] - praat[:, 0])
        rows.append(
            [
                f"{np.median(apart):.2f} semitones",
                f"{np.mean(apart < 1):.1%}",
                f"{np.median(own[:, 1] - praat[:, 1]):+.2f} semitones",
                f"{np.median(own[:, 2]):.1%} and {np.median(praat[:, 2]):.1%}",
            ]
        )
    names = (
        "medians of F0 are apart by",
        "clips whose medians are less than a semitone apart",
        "spread, dialoom's less Praat's",
        "voiced, dialoom's and Praat's",
    )
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        print(f"| {name} | {' | '.join(cells)} |")
    start = process_time()
    for waveform in recordings:
        measure_pitch(waveform)
    seconds = sum(waveform.duration_s for waveform in recordings)
    speed = seconds / (process_time() - start)
    print(f"\n{len(clips)} clips, {seconds:.0f} s; {speed:.0f} s of speech in a processor second")


if __name__ == "__main__":
    main()
