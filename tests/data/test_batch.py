"""The laws of a batch; each names the defect of an existing trainer that it keeps out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoom.codec import Codes
from dialoom.data import Batch, Clip, collate, drop_text
from dialoom.errors import DataError, TextError
from dialoom.sequence import IGNORE_INDEX, TokenLayout
from dialoom.text import TagTable

DIA = TokenLayout()
DELAYS = DIA.delay_pattern


def _clip(num_frames: int, *, text: str = "[S1] text", seed: int = 0) -> Clip:
    codes = np.random.default_rng(seed).integers(0, 1024, (num_frames, 9)).astype(np.uint16)
    return Clip(f"clip-{seed}", text, None, None, Codes(codes))


def _collate(*clips: Clip, **limits: int) -> Batch:
    return collate(
        clips, layout=DIA, tags=TagTable.default(), frames_per_second=44_100 / 512, **limits
    )


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def _batch_of(lengths: list[int]) -> tuple[list[Clip], Batch]:
    clips = [_clip(length, seed=seed) for seed, length in enumerate(lengths)]
    return clips, _collate(*clips)


@given(LENGTHS)
@settings(max_examples=30)
def test_every_frame_of_every_channel_is_a_target(lengths: list[int]) -> None:
    """Defect: the last 8–15 frames of the delayed channels were cut off."""
    clips, batch = _batch_of(lengths)
    for clip, targets_TC in zip(clips, batch.targets_BTC, strict=True):
        for channel, delay in enumerate(DELAYS):
            column = targets_TC[delay : delay + clip.codes.num_frames, channel]
            assert column.tolist() == clip.codes.frames[:, channel].tolist()


@given(LENGTHS)
@settings(max_examples=30)
def test_each_channel_of_each_clip_ends_with_its_own_eos(lengths: list[int]) -> None:
    """Defects: EOS on one row for all channels, at the batch's longest length, or in no target."""
    _, batch = _batch_of(lengths)
    for length, targets_TC in zip(lengths, batch.targets_BTC, strict=True):
        for channel, delay in enumerate(DELAYS):
            places = (targets_TC[:, channel] == DIA.eos_id).nonzero().flatten().tolist()
            assert places == [length + delay]


@given(LENGTHS)
@settings(max_examples=30)
def test_nothing_else_is_a_target(lengths: list[int]) -> None:
    """Defects: BOS and PAD in the loss, which flatters it; code 0 taken for padding."""
    _, batch = _batch_of(lengths)
    targets = batch.targets_BTC[batch.targets_BTC != IGNORE_INDEX]
    assert set(targets.tolist()) & {DIA.bos_id, DIA.pad_id} == set()
    assert batch.num_targets == len(targets) == sum(9 * (length + 1) for length in lengths)


def test_code_zero_is_a_target() -> None:
    """Defect: 0 as the padding of the codes, ignored in the loss."""
    zeros = Clip("zeros", "[S1] text", None, None, Codes(np.zeros((5, 9), np.uint16)))
    assert int((_collate(zeros).targets_BTC == 0).sum()) == 45


@given(LENGTHS)
@settings(max_examples=30)
def test_inputs_and_targets_are_shifted_once(lengths: list[int]) -> None:
    """Defect: shifted twice, and speech gets faster every epoch."""
    _, batch = _batch_of(lengths)
    following, current = batch.audio_BTC[:, 1:], batch.targets_BTC[:, :-1]
    counted = (current != IGNORE_INDEX) & batch.audio_mask_BT[:, 1:, None]
    assert torch.equal(following[counted], current[counted])
    assert (batch.audio_BTC[:, 0] == DIA.bos_id).all(), "step 0 is an input"


@given(LENGTHS)
@settings(max_examples=30)
def test_a_clip_is_the_same_in_any_company(lengths: list[int]) -> None:
    """Padding follows a clip and is never part of it: masks say so, and no target lies in it."""
    clips, batch = _batch_of(lengths)
    for row, clip in enumerate(clips):
        alone = _collate(clip)
        num_steps = alone.audio_BTC.shape[1]
        assert torch.equal(batch.audio_BTC[row, :num_steps], alone.audio_BTC[0])
        assert torch.equal(batch.targets_BTC[row, :num_steps], alone.targets_BTC[0])
        assert batch.audio_mask_BT[row].tolist() == [
            step < num_steps for step in range(batch.audio_BTC.shape[1])
        ]
        assert (batch.audio_BTC[row, num_steps:] == DIA.pad_id).all()
        assert (batch.targets_BTC[row, num_steps:] == IGNORE_INDEX).all()


def test_a_text_is_never_cut() -> None:
    """Defect: texts beyond the limit were cut silently, the audio was not."""
    fits = _clip(3, text="[S1]" + "x" * 1023)
    assert int(_collate(fits).text_mask_BS.sum()) == 1024
    with pytest.raises(
        TextError, match="clip clip-0: its text has 1025 bytes, the model reads 1024"
    ):
        _collate(_clip(3, text="[S1]" + "x" * 1024))
    with pytest.raises(TextError, match="has 1025 bytes"):
        _collate(_clip(3, text="[S1]x" + "é" * 511 + "x"))


def test_a_clip_is_never_cut() -> None:
    assert _collate(_clip(3055)).audio_BTC.shape[1] == 3071
    with pytest.raises(
        DataError, match="clip clip-0: needs 3073 decoder steps, the model has 3072"
    ):
        _collate(_clip(3056))


def test_refuses_codes_that_are_not_the_models() -> None:
    wide = Clip("w", "[S1] a", None, None, Codes(np.zeros((3, 8), np.uint16)))
    with pytest.raises(DataError, match=r"clip w: its codes \(8 codebooks"):
        _collate(wide)
    large = Clip("l", "[S1] a", None, None, Codes(np.full((3, 9), 1024, np.uint16)))
    with pytest.raises(DataError, match="largest id 1024"):
        _collate(large)
    empty = Clip("e", "[S1] a", None, None, Codes(np.zeros((0, 9), np.uint16)))
    with pytest.raises(DataError, match="clip e: has no frames"):
        _collate(empty)


def _many(number: int) -> Batch:
    return _collate(
        *(_clip(1 + i % 3, text="[S1] " + "x" * (1 + i % 5), seed=i) for i in range(number))
    )


def test_text_is_dropped_per_clip_and_its_mask_stays() -> None:
    """Defects: drawn once per batch; masks zeroed, so that a query row sees nothing."""
    batch = _many(200)
    dropped = drop_text(batch, 0.3, torch.Generator().manual_seed(0))
    empty = (dropped.text_BS == 0).all(dim=1)
    assert 0.2 < empty.float().mean() < 0.4
    assert torch.equal(dropped.text_BS[~empty], batch.text_BS[~empty])
    assert torch.equal(dropped.text_mask_BS, batch.text_mask_BS)
    assert torch.equal(dropped.audio_BTC, batch.audio_BTC)
    assert torch.equal(dropped.targets_BTC, batch.targets_BTC)
    assert (batch.text_BS[:, 0] == 1).all(), "the batch itself is as it was"


@pytest.mark.parametrize(("probability", "num_dropped"), [(0.0, 0), (1.0, 20)])
def test_drop_none_and_drop_all(probability: float, num_dropped: int) -> None:
    dropped = drop_text(_many(20), probability, torch.Generator().manual_seed(0))
    assert int((dropped.text_BS == 0).all(dim=1).sum()) == num_dropped


def test_dropping_is_decided_by_the_generator() -> None:
    batch = _many(50)
    texts = [
        drop_text(batch, 0.5, torch.Generator().manual_seed(seed)).text_BS for seed in (1, 1, 2)
    ]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])


def test_to_moves_every_tensor() -> None:
    moved = _many(2).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6, "five of its own and the places of targets"
    assert {tensor.device.type for tensor in tensors} == {"meta"}
