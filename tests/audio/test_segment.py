"""A segment is exactly the samples of the whole recording between its times."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_audio import tone

from dialoom.audio import AudioFileError, Segment, read_audio, read_audio_bytes


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("segment", [Segment(0.3333, 1.2), Segment(0.0, 0.5), Segment(1.1)])
def test_a_segment_is_a_slice_of_the_whole(tmp_path: Path, suffix: str, segment: Segment) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).normal(scale=0.1, size=32_000).astype(np.float32)
    soundfile.write(path, noise + tone(2.0).samples, 16_000)
    whole = read_audio(path).samples
    last = None if segment.end_s is None else round(segment.end_s * 16_000)
    expected = whole[round(segment.start_s * 16_000) : last]
    for part in (
        read_audio(path, segment=segment),
        read_audio_bytes(path.read_bytes(), name=path, segment=segment),
    ):
        np.testing.assert_array_equal(part.samples, expected)


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize("segment", [Segment(0.5, 2.2), Segment(2.2), Segment(9.0, 10.0)])
def test_a_segment_outside_is_refused(tmp_path: Path, suffix: str, segment: Segment) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(2.0).samples, 16_000)
    with pytest.raises(AudioFileError, match=r"segment .* lies outside the recording of 2\."):
        read_audio(path, segment=segment)


def test_times_that_were_rounded_reach_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2.0).samples, 16_000)
    assert read_audio(path, segment=Segment(1.0, 2.01)).num_samples == 16_000


def test_bytes_are_refused_as_files_are(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="x: the file is empty"):
        read_audio_bytes(b"", name=Path("x"))
    with pytest.raises(AudioFileError, match="x: not readable as audio"):
        read_audio_bytes(b"no audio", name=Path("x"))
