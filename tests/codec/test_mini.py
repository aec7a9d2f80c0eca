"""The bundled codec keeps the promises of the `Codec` protocol, and its weights carry sound."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoom.audio.waveform import Waveform
from dialoom.codec.base import Codec, Codes
from dialoom.codec.mini import WEIGHTS_NAME, MiniCodec
from dialoom.codec.mini_network import MiniNetwork, MiniShape, mel_filters
from dialoom.errors import AudioError, CodecError

MAX_BYTES = 8_000_000


@pytest.fixture(scope="module")
def codec() -> MiniCodec:
    return MiniCodec.load()


def vowels(duration_s: float, rate_hz: int = 44_100, seed: int = 0) -> Waveform:
    """Pulses of a gliding pitch through two moving resonances, with pauses: crude speech."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    pitch_hz = 130 + 40 * np.sin(2 * np.pi * 0.9 * time_s)
    cycle = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    first = 500 + 250 * np.sin(2 * np.pi * 1.7 * time_s)
    second = 1500 + 600 * np.sin(2 * np.pi * 1.1 * time_s + 1)
    samples = 0.002 * rng.standard_normal(len(time_s))
    for harmonic in range(1, 20):
        hz = harmonic * pitch_hz
        gain = sum(np.exp(-(((hz - formant) / 200) ** 2)) for formant in (first, second))
        samples += 0.15 * (gain + 0.02) * np.sin(harmonic * cycle)
    samples *= np.clip(3 * np.sin(2 * np.pi * 2.3 * time_s) + 1.5, 0, 1)
    return Waveform(samples.astype(np.float32), rate_hz)


def log_spectrum(waveform: Waveform) -> torch.Tensor:
    samples = torch.from_numpy(waveform.samples)
    spectrum = torch.stft(samples, 1024, 256, window=torch.hann_window(1024), return_complex=True)
    return (spectrum[:200].abs() + 0.05).log()


def test_is_a_codec_of_dias_geometry(codec: MiniCodec) -> None:
    assert isinstance(codec, Codec)
    spec = codec.spec
    assert (spec.name, spec.sample_rate_hz, spec.hop_length) == ("mini", 44_100, 512)
    assert (spec.num_codebooks, spec.codebook_size) == (9, 1024)
    assert len(spec.content_hash) == 64


def test_the_bundled_file_is_small() -> None:
    import dialoom.codec.mini as module

    assert Path(module.__file__).with_name(WEIGHTS_NAME).stat().st_size <= MAX_BYTES


@settings(max_examples=25, deadline=None)
@given(num_samples=st.integers(1, 9000))
def test_lengths_are_whole_frames(codec: MiniCodec, num_samples: int) -> None:
    samples = np.random.default_rng(num_samples).uniform(-0.5, 0.5, num_samples)
    codes = codec.encode(Waveform(samples.astype(np.float32), 44_100))
    assert codes.frames.shape == (-(-num_samples // 512), 9)
    assert codes.frames.dtype == np.uint16
    assert codes.frames.max() < 1024
    made = codec.decode(codes)
    assert made.num_samples == codes.num_frames * 512
    assert made.sample_rate_hz == 44_100
    assert made.samples.dtype == np.float32
    assert np.isfinite(made.samples).all()
    assert np.abs(made.samples).max() <= 1.0


def test_same_audio_same_codes(codec: MiniCodec) -> None:
    sound = vowels(1.0)
    first, second = codec.encode(sound), MiniCodec.load().encode(sound)
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(codec.decode(first).samples, codec.decode(second).samples)


def test_encoding_leaves_its_input_alone(codec: MiniCodec) -> None:
    sound = vowels(0.3)
    before = sound.samples.copy()
    codec.encode(sound)
    np.testing.assert_array_equal(sound.samples, before)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_any_rate_gives_the_frames_of_its_duration(codec: MiniCodec, rate_hz: int) -> None:
    frames = codec.encode(vowels(1.0, rate_hz)).num_frames
    assert abs(frames - codec.encode(vowels(1.0)).num_frames) <= 1


def test_a_round_trip_keeps_the_sound_and_shuffled_codes_do_not(codec: MiniCodec) -> None:
    sound = vowels(2.0)
    codes = codec.encode(sound)
    wanted = log_spectrum(Waveform(np.pad(sound.samples, (0, -sound.num_samples % 512)), 44_100))
    order = np.random.default_rng(0).permutation(codes.num_frames)
    kept = (log_spectrum(codec.decode(codes)) - wanted).abs().mean()
    lost = (log_spectrum(codec.decode(Codes(codes.frames[order]))) - wanted).abs().mean()
    assert kept < 0.5 * lost


def test_the_first_codebooks_carry_most(codec: MiniCodec) -> None:
    """Stages quantize what is left over, so each adds less than the ones before it."""
    network = codec._encoder
    samples = torch.from_numpy(vowels(2.0).samples[: 512 * 170])[None]
    with torch.inference_mode():
        latents = network.encode(samples)
        codes = network.quantizer.encode(latents)
        errors = [
            float((latents - network.quantizer.decode(codes[..., :depth])).square().mean())
            for depth in range(1, 10)
        ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.5 * float(latents.var())


def test_half_rate_training_network_makes_the_same_sound(codec: MiniCodec) -> None:
    """What the recipe trains at 22.05 kHz is what the package runs at 44.1 kHz."""
    network = codec._encoder
    half = MiniNetwork(network.shape, decimation=2)
    half.load_state_dict(network.state_dict())
    at_half = vowels(1.0, 22_050).samples[: 256 * 86]
    at_full = vowels(1.0, 44_100).samples[: 512 * 86]
    with torch.inference_mode():
        slow = network.decode(network.encode(torch.from_numpy(at_full)[None]))[0, ::2]
        fast = half.decode(half.encode(torch.from_numpy(at_half)[None]))[0]
    assert float((slow - fast).square().mean()) < 0.05 * float(slow.square().mean())


def test_no_samples_are_refused(codec: MiniCodec) -> None:
    with pytest.raises(AudioError, match="nothing to encode"):
        codec.encode(Waveform(np.zeros(0, np.float32), 44_100))


def test_silence_stays_quiet(codec: MiniCodec) -> None:
    made = codec.decode(codec.encode(Waveform(np.zeros(22_050, np.float32), 44_100)))
    assert np.abs(made.samples).max() < 0.01


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 8), np.uint16), "8 codebooks"),
        (np.full((4, 9), 1024, np.uint16), "1024"),
    ],
)
def test_codes_of_another_codec_are_refused(
    codec: MiniCodec, frames: np.ndarray, message: str
) -> None:
    with pytest.raises(CodecError, match=message):
        codec.decode(Codes(frames))


@pytest.mark.parametrize("content", [None, b"", b"not weights at all", b"\x02\0\0\0\0\0\0\0{}"])
def test_unreadable_weights_are_refused_with_a_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / WEIGHTS_NAME
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CodecError, match="reinstall dialoom") as caught:
        MiniCodec.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shape_survives_its_metadata() -> None:
    shape = MiniShape(width=64, decoder_blocks=2)
    assert MiniShape.from_json(shape.to_json()) == shape
    with pytest.raises(ValueError, match="fields"):
        MiniShape.from_json('{"width": 64}')


@pytest.mark.parametrize("num_mels", [12, 80, 160])
def test_every_mel_band_hears_something(num_mels: int) -> None:
    filters = mel_filters(num_mels, 513, 11_025)
    assert torch.isfinite(filters).all()
    torch.testing.assert_close(filters.sum(0), torch.ones(num_mels))
