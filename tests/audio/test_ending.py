"""A recording that was cut is found out, whatever libsndfile makes of it."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damaged_files import ENCODINGS, sound

from dialoom.audio import Segment, read_audio, read_audio_bytes
from dialoom.audio.ending import tells_length
from dialoom.errors import AudioError

NAME = Path("a.wav")


@pytest.mark.parametrize("suffix", list(ENCODINGS))
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_cut_recording_is_refused(suffix: str, share: float) -> None:
    whole = sound(suffix)
    assert read_audio_bytes(whole, name=NAME).duration_s == pytest.approx(1.2, abs=0.06)
    with pytest.raises(AudioError, match=r"breaks off: its end is missing|lost sync|malformed"):
        read_audio_bytes(whole[: int(len(whole) * share)], name=NAME)


def test_a_segment_that_is_there_is_read_from_a_cut_recording() -> None:
    half = sound(".wav")[: len(sound(".wav")) // 2]
    assert read_audio_bytes(half, name=NAME, segment=Segment(0.1, 0.4)).num_samples == 4800
    with pytest.raises(AudioError, match="its end is missing"):
        read_audio_bytes(half, name=NAME, segment=Segment(0.1))


def test_a_wav_that_was_written_into_a_pipe_is_whole(tmp_path: Path) -> None:
    content = sound(".wav")
    start = content.index(b"data") + 4
    path = tmp_path / "a.wav"
    path.write_bytes(content[:start] + b"\xff\xff\xff\xff" + content[start + 4 :])
    assert read_audio(path).num_samples == read_audio_bytes(content, name=NAME).num_samples


def test_a_flac_that_was_written_into_a_pipe_is_refused() -> None:
    """Its number of samples, the last 36 bits before the checksum of STREAMINFO, is 0."""
    content = bytearray(sound(".flac"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    with pytest.raises(AudioError, match="its header does not say how long it is"):
        read_audio_bytes(bytes(content), name=NAME)


def test_what_is_longer_is_refused() -> None:
    assert read_audio_bytes(sound(".flac"), name=NAME, max_seconds=1.2).num_samples == 19_200
    with pytest.raises(AudioError, match=r"lasts 1\.2 s, at most 1\.0 s are read; cut it and its"):
        read_audio_bytes(sound(".flac"), name=NAME, max_seconds=1.0)
    part = Segment(0.3, 1.1)
    assert read_audio_bytes(sound(".flac"), name=NAME, segment=part, max_seconds=0.8).num_samples


def test_the_length_of_an_mp3_counts_only_where_it_is_written() -> None:
    written = sound(".mp3")
    assert tells_length(io.BytesIO(written), "MPEG")
    tagged = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + written
    assert tells_length(io.BytesIO(tagged), "MPEG")
    plain = written.replace(b"Info", b"    ").replace(b"Xing", b"    ")
    assert not tells_length(io.BytesIO(plain), "MPEG")


def test_many_channels_are_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full((100, 33), 0.5, np.float32), 16_000, format="WAV")
    with pytest.raises(AudioError, match="has 33 channels, at most 32 are read"):
        read_audio_bytes(file.getvalue(), name=NAME)
