"""DacCodec gives what DacModel gives for one clip, in whole frames."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_audio import tone
from transformers import DacConfig, DacModel, DiaFeatureExtractor

from dialoom.audio import Waveform
from dialoom.codec import Codec, Codes
from dialoom.codec.dac import DacCodec
from dialoom.errors import AudioError, CodecError


def _save_dac(path: Path, ratios: tuple[int, ...] = (2, 4, 8, 8)) -> Path:
    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=ratios,
        n_codebooks=9,
        codebook_size=1024,
        codebook_dim=4,
        sampling_rate=44_100,
    )
    model = DacModel(config)
    with torch.no_grad():  # transformers starts with zero biases, through which no padding leaks
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_dac(tmp_path_factory.mktemp("dac"))


@pytest.fixture(scope="module")
def codec(directory: Path) -> DacCodec:
    return DacCodec.load(directory)


@pytest.fixture(scope="module")
def model(directory: Path) -> DacModel:
    return DacModel.from_pretrained(directory).eval()


def _noise(num_samples: int, seed: int = 0) -> Waveform:
    samples = np.random.default_rng(seed).normal(0, 0.2, num_samples).astype(np.float32)
    return Waveform(samples, 44_100)


def test_spec_says_geometry_and_content(directory: Path, codec: DacCodec) -> None:
    assert isinstance(codec, Codec)
    spec = codec.spec
    assert (spec.sample_rate_hz, spec.hop_length) == (44_100, 512)
    assert (spec.num_codebooks, spec.codebook_size) == (9, 1024)
    weights = (directory / "model.safetensors").read_bytes()
    assert spec.content_hash == hashlib.sha256(weights).hexdigest()


@pytest.mark.parametrize("num_samples", [1, 511, 512, 513, 5_121])
def test_codes_are_those_of_dia_processors_input(
    codec: DacCodec, model: DacModel, num_samples: int
) -> None:
    waveform = _noise(num_samples)
    extractor = DiaFeatureExtractor(sampling_rate=44_100, hop_length=512)
    inputs = extractor(raw_audio=waveform.samples, sampling_rate=44_100, return_tensors="pt")
    with torch.inference_mode():
        expected = model.encode(inputs["input_values"].reshape(1, 1, -1)).audio_codes[0].T
    codes = codec.encode(waveform)
    assert codes.num_frames == -(-num_samples // 512)
    np.testing.assert_array_equal(codes.frames, expected.numpy())


def test_a_padded_batch_gives_other_codes(codec: DacCodec, model: DacModel) -> None:
    """Why clips are encoded one by one: padding leaks into the last frames of the shorter clip."""
    short, long = _noise(10 * 512, seed=1), _noise(20 * 512, seed=2)
    padded = np.pad(short.samples, (0, 10 * 512))
    batch = torch.from_numpy(np.stack([padded, long.samples]))[:, None]
    with torch.inference_mode():
        batched = model.encode(batch).audio_codes[0, :, :10].T.numpy()
    alone = codec.encode(short).frames
    assert (batched != alone).any()
    assert (batched[:2] == alone[:2]).all(), "far from the padding the codes agree"


def test_other_rates_are_resampled(codec: DacCodec) -> None:
    assert codec.encode(tone(1.0, sample_rate_hz=16_000)).num_frames == 87


def test_decoding_gives_whole_frames(codec: DacCodec, model: DacModel) -> None:
    codes = codec.encode(_noise(5_001))
    waveform = codec.decode(codes)
    assert waveform.sample_rate_hz == 44_100
    assert waveform.num_samples == codes.num_frames * 512
    ids = torch.from_numpy(codes.frames.T.astype(np.int64))[None]
    with torch.inference_mode():
        expected = model.decode(audio_codes=ids).audio_values[0]
    np.testing.assert_array_equal(waveform.samples, expected.numpy())


def test_odd_ratios_decode_to_whole_frames_too(tmp_path: Path) -> None:
    odd = DacCodec.load(_save_dac(tmp_path, ratios=(2, 4, 5, 8)))
    codes = odd.encode(_noise(3_200))
    assert codes.num_frames == 10
    assert odd.decode(codes).num_samples == 3_200


def test_no_audio_and_no_frames(codec: DacCodec) -> None:
    with pytest.raises(AudioError, match="empty"):
        codec.encode(_noise(0))
    assert codec.decode(Codes(np.zeros((0, 9), np.uint16))).num_samples == 0


def test_refuses_codes_of_another_codec(codec: DacCodec) -> None:
    with pytest.raises(CodecError, match="have 8 codebooks, it has 9"):
        codec.decode(Codes(np.zeros((4, 8), np.uint16)))
    with pytest.raises(CodecError, match="hold id 1024, its ids end at 1023"):
        codec.decode(Codes(np.full((4, 9), 1024, np.uint16)))


def test_refuses_weights_that_do_not_fill_the_model(directory: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(directory / "model.safetensors")
    del tensors["decoder.conv1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    with pytest.raises(CodecError, match=r"lacks 1 tensors, among them decoder\.conv1\.weight"):
        DacCodec.load(tmp_path)


def test_refuses_damaged_weights(directory: Path, tmp_path: Path) -> None:
    weights = (directory / "model.safetensors").read_bytes()
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    with pytest.raises(CodecError, match=r"no model\.safetensors"):
        DacCodec.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CodecError, match=r"damaged \(.*\); fetch it again") as caught:
        DacCodec.load(tmp_path)
    assert "\n" not in str(caught.value)
