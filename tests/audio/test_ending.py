"""A recording that was cut is found out, whatever libsndfile makes of it."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damaged_files import ENCODINGS, sound

from dialoom.audio import Segment, read_audio, read_audio_bytes
from dialoom.audio.mono import read_mono
from dialoom.audio.mpeg import count_frames, tells_length, with_length
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
    assert tells_length(written)
    tagged = b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + written
    assert tells_length(tagged)
    plain = written.replace(b"Info", b"    ").replace(b"Xing", b"    ")
    assert not tells_length(plain)


def _without_header(rate_hz: int, num_channels: int) -> tuple[bytes, np.ndarray]:
    """An MP3 of varying bit rate whose loudest second comes first, and what it holds.

    Its length stands in the first frame, which is taken away: as of files cut out of a stream.
    """
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, (2 * rate_hz, num_channels)).astype(np.float32)
    samples[rate_hz // 4 :] *= 1e-3
    file = io.BytesIO()
    soundfile.write(
        file,
        samples,
        rate_hz,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=0.4,
    )
    whole = file.getvalue()
    file.seek(0)
    read, _ = soundfile.read(file, dtype="float32", always_2d=True)
    assert len(read) == len(samples)
    second = whole.index(whole[:2], whole.index(b"LAME"))
    return whole[second:], read.mean(axis=1)


@pytest.mark.parametrize(("rate_hz", "num_channels"), [(48_000, 2), (22_050, 1), (8_000, 2)])
def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(
    rate_hz: int, num_channels: int
) -> None:
    """libsndfile guesses from the first frame's bit rate, and stops where the guess ends."""
    plain, expected = _without_header(rate_hz, num_channels)
    for data in (plain, b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + plain):
        read = read_audio_bytes(data, name=NAME).samples
        assert 0 <= len(read) - len(expected) < 4 * 1152
        np.testing.assert_allclose(read[576:][: len(expected)], expected, atol=1e-4)
    resampled = read_mono(io.BytesIO(plain), NAME, rate_hz)
    assert resampled.num_samples == len(read)


def test_the_frames_of_an_mp3_are_counted_past_what_is_none() -> None:
    plain, _ = _without_header(22_050, 1)
    count = count_frames(plain)
    assert count == count_frames(b"\xff\xfb\xff" + bytes(50) + plain + b"TAG" + bytes(125))
    assert count_frames(plain[:-1]) == count - 1, "the last is not whole"
    assert count_frames(plain + bytes(7) + plain) == 2 * count
    assert count_frames(b"") == count_frames(bytes(100)) == 0
    assert with_length(bytes(100)) == bytes(100)


def test_many_channels_are_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full((100, 33), 0.5, np.float32), 16_000, format="WAV")
    with pytest.raises(AudioError, match="has 33 channels, at most 32 are read"):
        read_audio_bytes(file.getvalue(), name=NAME)
