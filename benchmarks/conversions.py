"""The same recordings in other formats become corpora whose texts and durations agree.

    python benchmarks/conversions.py LJSPEECH_FOLDER DIRECTORY

Needs ffmpeg. With the silence at the edges left, durations agree within one codec frame, 512
samples at 44.1 kHz, and one block of the audio format (MP3: 576 samples at 22.05 kHz, Opus: 20 ms),
which it may fill up at the end. With silence trimmed a clip may start or end elsewhere, because a
last "s" is no sound below 4 kHz: that is measured, and bounded by the silence that is kept.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

from dialoom.data import Corpus, PrepareOptions, prepare

CONVERSIONS = {
    "wav": ["wav"],
    "mp3": ["mp3", "-b:a", "96k"],
    "ogg": ["ogg", "-c:a", "libvorbis", "-q:a", "6"],
    "opus": ["opus", "-c:a", "libopus", "-b:a", "64k"],
    "8 kHz wav": ["wav", "-ar", "8000"],
    "48 kHz stereo flac": ["flac", "-ar", "48000", "-ac", "2"],
}
PADDING_S = 576 / 22_050
KEPT_SILENCE_S = 0.2


def convert(source: Path, folder: Path, ending: str, options: list[str]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wavs").mkdir(parents=True)
    shutil.copy(source / "metadata.csv", folder)
    for path in sorted((source / "wavs").iterdir()):
        target = folder / "wavs" / f"{path.stem}.{ending}"
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(path), *options, str(target)]
        subprocess.run(command, check=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    for edge_silence_s in (None, KEPT_SILENCE_S):
        compare(arguments.source, arguments.directory, edge_silence_s)


def compare(source: Path, directory: Path, edge_silence_s: float | None) -> None:
    options = PrepareOptions(edge_silence_s=edge_silence_s)
    print(f"edge silence left: {edge_silence_s or 'all'}")
    out = directory / f"original-{edge_silence_s}"
    prepare(source, out, options)
    original = Corpus.open(out)
    frames_per_second = original.info.codec.frames_per_second
    tolerance_s = edge_silence_s or 1 / frames_per_second + PADDING_S
    for name, (ending, *arguments) in CONVERSIONS.items():
        folder = convert(source, directory / name.replace(" ", "-"), ending, arguments)
        prepare(folder, folder.with_name(f"{folder.name}-{edge_silence_s}"), options)
        corpus = Corpus.open(folder.with_name(f"{folder.name}-{edge_silence_s}"))
        assert corpus.texts == original.texts, name
        differences = (corpus.lengths - original.lengths) / frames_per_second
        print(
            f"{name:>20}: {len(corpus)} clips, durations {differences.min():+.3f} to "
            f"{differences.max():+.3f} s of the original's",
            flush=True,
        )
        assert abs(differences).max() <= tolerance_s, name


if __name__ == "__main__":
    main()
