"""Many clips at once sound as each of them alone, whatever their lengths."""

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from tiny_dac import save_tiny_dac
from tiny_mimi import save_tiny_mimi
from torch import Tensor

from dialoom.codec import Codec, Codes
from dialoom.codec.dac import DacCodec
from dialoom.codec.mimi import MimiCodec
from dialoom.codec.mini import MiniCodec
from dialoom.codec.parallel import decode_in_batches
from dialoom.errors import CodecError

LENGTHS = (7, 3, 7, 5, 3)


@pytest.fixture(scope="module", params=["mini", "dac", "mimi"])
def codec(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> MiniCodec | DacCodec | MimiCodec:
    if request.param == "mini":
        return MiniCodec.load()
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "dac":
        return DacCodec.load(save_tiny_dac(folder))
    return MimiCodec.load(save_tiny_mimi(folder))


def _clips(codec: Codec, lengths: tuple[int, ...] = LENGTHS) -> list[Codes]:
    random = np.random.default_rng(0)
    shapes = [(length, codec.spec.num_codebooks) for length in lengths]
    ids = [random.integers(0, codec.spec.codebook_size, shape) for shape in shapes]
    return [Codes(of_clip.astype(np.uint16)) for of_clip in ids]


def test_clips_beside_each_other_are_the_same_clips(codec: Codec) -> None:
    num_cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        clips = _clips(codec)
        together = codec.decode_many(clips)
        assert torch.get_num_threads() == 2, "threads of later work have their cores back"
    finally:
        torch.set_num_threads(num_cores)
    for codes, waveform in zip(clips, together, strict=True):
        alone = codec.decode(codes)
        assert waveform.sample_rate_hz == alone.sample_rate_hz
        np.testing.assert_allclose(waveform.samples, alone.samples, rtol=0, atol=1e-5)


def test_batches_of_equal_length_are_the_same_clips(
    codec: MiniCodec | DacCodec | MimiCodec,
) -> None:
    """What a GPU does, on this device."""
    clips, sizes = _clips(codec), []

    def decode(ids_BFC: Int[Tensor, "B F C"]) -> Float[Tensor, "B N"]:
        sizes.append(len(ids_BFC))
        return codec._samples(ids_BFC)

    together = decode_in_batches(decode, clips, sample_rate_hz=codec.spec.sample_rate_hz)
    assert sorted(sizes) == [1, 2, 2]
    for codes, waveform in zip(clips, together, strict=True):
        alone = codec.decode(codes)
        assert waveform.sample_rate_hz == alone.sample_rate_hz
        np.testing.assert_allclose(waveform.samples, alone.samples, rtol=0, atol=1e-4)


def test_nothing_and_foreign_codes(codec: Codec) -> None:
    assert codec.decode_many([]) == []
    foreign = Codes(np.zeros((3, codec.spec.num_codebooks + 1), np.uint16))
    with pytest.raises(CodecError, match="codebooks"):
        codec.decode_many([*_clips(codec, (3,)), foreign])
