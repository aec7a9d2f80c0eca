"""The same speech in another format is the same corpus, up to what the format adds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from damaged_files import ENCODINGS
from fake_audio import FAKE_SPEC
from fake_source import prepare_fake
from fake_speech import fake_sentence

from dialoom.audio import resample
from dialoom.data import Corpus

NUM_CLIPS = 4
MP3_BLOCK_S = 576 / 16_000
CONVERSIONS = {
    "wav": (".wav", 16_000, 1),
    "flac": (".flac", 16_000, 1),
    "mp3": (".mp3", 16_000, 1),
    "ogg": (".ogg", 16_000, 1),
    "opus": (".opus", 16_000, 1),
    "8 kHz": (".wav", 8_000, 1),
    "48 kHz stereo": (".flac", 48_000, 2),
}


def _write(folder: Path, suffix: str, rate_hz: int, num_channels: int) -> Path:
    """In LJSpeech's layout. The speech stays below 4 kHz, so that 8 kHz lose nothing of it."""
    (folder / "wavs").mkdir(parents=True)
    lines = [f"clip-{i}|Text number {i}.|" for i in range(NUM_CLIPS)]
    (folder / "metadata.csv").write_text("\n".join(lines))
    format, subtype = ENCODINGS[suffix]
    for i in range(NUM_CLIPS):
        waveform = resample(fake_sentence(i, num_sounds=9 + i), rate_hz)
        samples = np.repeat(waveform.samples[:, None], num_channels, axis=1)
        path = folder / f"wavs/clip-{i}{suffix}"
        soundfile.write(path, samples, rate_hz, format=format, subtype=subtype)
    return folder


def _prepare(tmp_path: Path, name: str) -> Corpus:
    folder = _write(tmp_path / f"{name}-source", *CONVERSIONS[name])
    prepare_fake(folder, tmp_path / name)
    return Corpus.open(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in CONVERSIONS if name != "wav"])
def test_texts_and_durations_agree(tmp_path: Path, name: str) -> None:
    """Within one frame of the codec, and one block of the audio format that may fill up the end."""
    original, converted = _prepare(tmp_path, "wav"), _prepare(tmp_path, name)
    assert converted.texts == original.texts
    assert converted.info.num_rejected == 0
    differences = abs(converted.lengths - original.lengths) / FAKE_SPEC.frames_per_second
    tolerance_s = 1 / FAKE_SPEC.frames_per_second + MP3_BLOCK_S
    assert differences.max() <= tolerance_s
