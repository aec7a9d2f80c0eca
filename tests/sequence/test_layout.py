"""Layouts follow the codec: Dia's own for Dia's codec, and what corresponds to it for others."""

import pytest

from dialoom.sequence import TokenLayout, layout_for


def test_dias_codec_has_dias_layout() -> None:
    layout = layout_for(num_codebooks=9, codebook_size=1024, frames_per_second=44_100 / 512)
    assert layout == TokenLayout()


@pytest.mark.parametrize(
    ("codec", "delays", "ids"),
    [
        ((8, 2048, 12.5), (0, 1, 2, 3, 4, 5, 6, 7), (2048, 2049, 2050, 2052)),  # Mimi
        ((3, 1024, 75.0), (0, 7, 8), (1024, 1025, 1026, 1028)),
        ((1, 64, 12.5), (0,), (64, 65, 66, 68)),
    ],
)
def test_other_codecs(
    codec: tuple[int, int, float], delays: tuple[int, ...], ids: tuple[int, int, int, int]
) -> None:
    layout = layout_for(num_codebooks=codec[0], codebook_size=codec[1], frames_per_second=codec[2])
    assert layout.delay_pattern == delays
    assert (layout.eos_id, layout.pad_id, layout.bos_id, layout.vocab_size) == ids
