"""Codes decoded in windows sound as the whole does, to -60 dB, with every codec."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from fake_speech import fake_sentence
from tiny_dac import save_tiny_dac

from dialoom.codec import Codec, Codes, DecoderReach, WindowedDecoder, load_codec
from dialoom.errors import CodecError

BAR_DB = -60.0
EXACT_DB = -100.0
"""Of DAC, whose reach is that of its convolutions; what is left is rounding."""


@pytest.fixture(scope="module", params=["mini", "dac"])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    if request.param == "mini":
        return load_codec("mini")
    return load_codec(str(save_tiny_dac(tmp_path_factory.mktemp("codec") / "dac")))


def random_codes(codec: Codec, num_frames: int) -> Codes:
    size = (num_frames, codec.spec.num_codebooks)
    ids = np.random.default_rng(0).integers(0, codec.spec.codebook_size, size)
    return Codes(ids.astype(np.uint16))


def in_windows(codec: Codec, codes: Codes, lengths: Sequence[int]) -> Iterator[np.ndarray]:
    decoder = WindowedDecoder(codec)
    for piece in np.split(codes.frames, np.cumsum(lengths)):
        yield decoder.push(Codes(piece)).samples
    yield decoder.finish().samples


def difference_db(samples: np.ndarray, whole: np.ndarray) -> float:
    """The largest difference against the largest sample."""
    assert samples.shape == whole.shape
    return float(20 * np.log10(np.abs(samples - whole).max() / np.abs(whole).max() + 1e-12))


@pytest.mark.parametrize("lengths", [(1,) * 60, (4, 8, 16, 32), (60,), (0, 40, 0)])
def test_windows_sound_as_the_whole(codec: Codec, lengths: Sequence[int]) -> None:
    codes = random_codes(codec, 70)
    samples = np.concatenate(list(in_windows(codec, codes, lengths)))
    bar_db = BAR_DB if codec.spec.name == "mini" else EXACT_DB
    assert difference_db(samples, codec.decode(codes).samples) < bar_db


def test_speech_in_windows_of_mini_sounds_as_the_whole() -> None:
    codec = load_codec("mini")
    codes = codec.encode(fake_sentence(1))
    samples = np.concatenate(list(in_windows(codec, codes, (4, 8) + (16,) * 4)))
    assert difference_db(samples, codec.decode(codes).samples) < BAR_DB


def test_windows_without_overlap_are_heard(codec: Codec) -> None:
    """So the bar can be missed."""
    decoder = WindowedDecoder(codec)
    decoder._reach = DecoderReach(before=0, after=0)
    codes = random_codes(codec, 60)
    pieces = [decoder.push(Codes(piece)).samples for piece in np.split(codes.frames, 6)]
    samples = np.concatenate([*pieces, decoder.finish().samples])
    assert difference_db(samples, codec.decode(codes).samples) > BAR_DB


def test_samples_come_as_soon_as_they_are_certain(codec: Codec) -> None:
    decoder = WindowedDecoder(codec)
    after = codec.reach.after
    assert decoder.push(random_codes(codec, after)).num_samples == 0
    assert decoder.push(random_codes(codec, 3)).num_samples == 3 * codec.spec.hop_length
    assert decoder.num_waiting == after
    assert decoder.finish().num_samples == after * codec.spec.hop_length
    assert decoder.finish().num_samples == 0


def test_a_second_clip_knows_nothing_of_the_first() -> None:
    codec = load_codec("mini")
    codes = random_codes(codec, 40)
    decoder = WindowedDecoder(codec)
    decoder.push(random_codes(codec, 50))
    decoder.finish()
    samples = np.concatenate([decoder.push(codes).samples, decoder.finish().samples])
    assert difference_db(samples, codec.decode(codes).samples) < BAR_DB


def test_foreign_codes_are_refused(codec: Codec) -> None:
    with pytest.raises(CodecError, match="codebooks"):
        WindowedDecoder(codec).push(Codes(np.zeros((3, 4), np.uint16)))
    with pytest.raises(CodecError, match="id 1024"):
        WindowedDecoder(codec).push(Codes(np.full((60, 9), 1024, np.uint16)))
