"""MimiCodec gives what MimiModel gives, with as many codebooks as asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fake_audio import tone
from tiny_mimi import save_tiny_mimi
from transformers import MimiModel

from dialoom.codec import Codec, Codes, WindowedDecoder
from dialoom.codec.mimi import MimiCodec
from dialoom.errors import CodecError


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_mimi(tmp_path_factory.mktemp("mimi"))


def test_spec(directory: Path) -> None:
    codec = MimiCodec.load(directory)
    assert isinstance(codec, Codec)
    assert (codec.spec.sample_rate_hz, codec.spec.hop_length) == (24_000, 1920)
    assert codec.spec.frames_per_second == 12.5
    assert (codec.spec.num_codebooks, codec.spec.codebook_size) == (8, 64)


@pytest.mark.parametrize(("num_codebooks", "duration_s"), [(1, 0.08), (4, 0.5), (12, 0.1)])
def test_codes_and_sound_are_the_models(
    directory: Path, num_codebooks: int, duration_s: float
) -> None:
    codec = MimiCodec.load(directory, num_codebooks=num_codebooks)
    waveform = tone(duration_s, sample_rate_hz=24_000)
    codes = codec.encode(waveform)
    assert codes.num_frames == -(-waveform.num_samples // 1920)
    padded = np.pad(waveform.samples, (0, -waveform.num_samples % 1920))
    model = MimiModel.from_pretrained(directory).eval()
    with torch.inference_mode():
        encoded = model.encode(torch.from_numpy(padded)[None, None], num_quantizers=num_codebooks)
        decoded = model.decode(encoded.audio_codes).audio_values[0, 0]
    np.testing.assert_array_equal(codes.frames, encoded.audio_codes[0].T.numpy())
    assert codes.frames.any(), "the codebooks are not empty"
    sound = codec.decode(codes)
    assert sound.num_samples == codes.num_frames * 1920
    np.testing.assert_array_equal(sound.samples, decoded.numpy())


@pytest.mark.parametrize("num_codebooks", [0, 13])
def test_refuses_codebooks_it_does_not_have(directory: Path, num_codebooks: int) -> None:
    with pytest.raises(CodecError, match=f"num_codebooks {num_codebooks} is outside 1–12"):
        MimiCodec.load(directory, num_codebooks=num_codebooks)


def test_windows_sound_as_the_whole(directory: Path) -> None:
    codec = MimiCodec.load(directory)
    ids = np.random.default_rng(0).integers(0, codec.spec.codebook_size, (30, 8))
    codes = Codes(ids.astype(np.uint16))
    decoder = WindowedDecoder(codec)
    pieces = [decoder.push(Codes(piece)).samples for piece in np.split(codes.frames, (1, 2, 7, 20))]
    assert all(piece.size for piece in pieces), "a causal decoder waits for nothing"
    whole = codec.decode(codes).samples
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-3 * np.abs(whole).max()
