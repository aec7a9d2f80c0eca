"""Every format and rate comes in as mono; what is no speech is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_audio import tone, write_tone

from dialoom.audio import Waveform, check_writable, read_audio, write_audio
from dialoom.errors import AudioError

FORMATS = [
    (suffix, rate)
    for suffix, rates in {
        ".wav": (8_000, 44_100, 96_000),
        ".flac": (8_000, 44_100, 96_000),
        ".ogg": (8_000, 44_100, 48_000),
        ".opus": (8_000, 16_000, 48_000),
        ".mp3": (8_000, 22_050, 48_000),
    }.items()
    for rate in rates
]


@pytest.mark.parametrize(("suffix", "rate"), FORMATS)
def test_reads_what_it_writes(tmp_path: Path, suffix: str, rate: int) -> None:
    written = tone(0.5, sample_rate_hz=rate)
    path = tmp_path / f"tone{suffix}"
    write_audio(path, written)
    read = read_audio(path)
    assert read.sample_rate_hz == rate
    assert read.samples.dtype == np.float32
    # Lossy codecs may add a frame of their own
    assert read.num_samples == pytest.approx(written.num_samples, abs=0.05 * rate)
    spectrum = np.abs(np.fft.rfft(read.samples))
    assert spectrum.argmax() * rate / read.num_samples == pytest.approx(220, abs=4)


@pytest.mark.parametrize("num_channels", [1, 2, 5])
def test_channels_become_their_mean(tmp_path: Path, num_channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, num_channels)).astype(np.float32)
    path = tmp_path / "channels.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path).samples, samples.mean(axis=1), atol=1e-6)


def _write_text(path: Path) -> None:
    path.write_text("this is a text, not a recording")


def _write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def _write_no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def _write_nan(path: Path) -> None:
    samples = tone(0.1).samples.copy()
    samples[7] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")


def _write_silence(path: Path) -> None:
    soundfile.write(path, tone(0.1, peak=0.0009).samples, 16_000, subtype="FLOAT")


def _write_too_slow(path: Path) -> None:
    soundfile.write(path, tone(0.1).samples, 6_000)


def _write_too_fast(path: Path) -> None:
    soundfile.write(path, tone(0.1).samples, 192_000)


def _write_half(path: Path) -> None:
    soundfile.write(path, tone(1.0).samples, 16_000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _write_not_at_all(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (_write_text, "not readable as audio"),
        (_write_nothing, r"empty \(0 bytes\)"),
        (_write_no_samples, "no samples"),
        (_write_nan, "not finite"),
        (_write_silence, r"silent \(peak 9.0e-04"),
        (_write_too_slow, "6000 Hz is outside 8000–96000 Hz"),
        (_write_too_fast, "192000 Hz is outside"),
        (_write_half, "not readable as audio"),
        (_write_not_at_all, "no such file"),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, write, reason: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "clip.wav"
    write(path)
    with pytest.raises(AudioError, match=reason) as caught:
        read_audio(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "; " in message, "a remedy follows"
    assert "\n" not in message


def test_quiet_speech_is_not_silence(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "quiet.wav", peak=0.004)
    assert np.abs(read_audio(path).samples).max() == pytest.approx(0.004, abs=1e-4)


def test_writing_clips_and_names_what_it_cannot_write(tmp_path: Path) -> None:
    loud = Waveform(np.array([2.0, -2.0, 0.5] * 100, np.float32), 44_100)
    write_audio(tmp_path / "loud.flac", loud)
    assert np.abs(read_audio(tmp_path / "loud.flac").samples).max() <= 1.0
    with pytest.raises(AudioError, match=r"cannot write audio as '.aac'; choose one of .wav"):
        write_audio(tmp_path / "loud.aac", loud)
    with pytest.raises(AudioError, match=r"44100 Hz.*; choose .wav"):
        write_audio(tmp_path / "loud.opus", loud)


@pytest.mark.parametrize(
    ("name", "rate", "reason"),
    [
        ("gone/a.wav", 44_100, "there is no directory .*gone; make it"),
        ("a.xyz", 44_100, "cannot write audio as '.xyz'; choose one of .wav"),
        ("a", 44_100, "cannot write audio as ''; choose one of .wav"),
        ("a.opus", 44_100, "'.opus' cannot hold 44100 Hz; choose .wav"),
        ("a.mp3", 96_000, "'.mp3' cannot hold 96000 Hz; choose .wav"),
        ("a.OGG", 0, "'.OGG' cannot hold 0 Hz"),
        ("folder.wav", 44_100, "no file may be written there"),
    ],
)
def test_what_cannot_be_written_is_known_before(
    tmp_path: Path, name: str, rate: int, reason: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    waveform = Waveform(np.zeros(100, np.float32), rate)
    for refuse in (
        lambda: check_writable(tmp_path / name, rate),
        lambda: write_audio(tmp_path / name, waveform),
    ):
        with pytest.raises(AudioError, match=reason) as caught:
            refuse()
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


@pytest.mark.parametrize(("suffix", "rate"), FORMATS)
def test_checking_writes_nothing(tmp_path: Path, suffix: str, rate: int) -> None:
    check_writable(tmp_path / f"new{suffix}", rate)
    check_writable(tmp_path / f"new{suffix.upper()}", rate)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_disk_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise soundfile.LibsndfileError(2, "Error opening: ")

    monkeypatch.setattr(soundfile, "write", fail)
    with pytest.raises(AudioError, match=r"a\.wav: cannot be written \(System error\)"):
        write_audio(tmp_path / "a.wav", tone(0.1))
