"""The delay pattern: exact places, an exact inverse, and equality with transformers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_dac import save_tiny_dac
from transformers import DacModel, DiaFeatureExtractor, DiaProcessor, DiaTokenizer

from dialoom.sequence import (
    TokenLayout,
    apply_audio_delay,
    build_delay_indices,
    build_revert_indices,
    delay_codes,
    revert_audio_delay,
    undelay_codes,
)

DELAY_PATTERNS = st.lists(st.integers(0, 20), min_size=0, max_size=8).map(
    lambda delays: (0, *delays)
)


def _codes(num_frames: int, num_channels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 1024, (num_frames, num_channels), generator=generator)


@given(pattern=DELAY_PATTERNS, num_frames=st.integers(0, 60), seed=st.integers(0, 9))
def test_undelay_restores_the_codes(pattern: tuple[int, ...], num_frames: int, seed: int) -> None:
    layout = TokenLayout(delay_pattern=pattern)
    codes = _codes(num_frames, len(pattern), seed)
    for complete in (True, False):
        steps = delay_codes(codes, layout, complete=complete)
        assert torch.equal(undelay_codes(steps, layout), codes)


@given(pattern=DELAY_PATTERNS, num_frames=st.integers(0, 40))
def test_every_id_stands_where_the_law_says(pattern: tuple[int, ...], num_frames: int) -> None:
    """BOS up to step d, frame f at 1 + f + d, EOS at 1 + F + d, PAD behind: F + max d + 2 steps."""
    layout = TokenLayout(delay_pattern=pattern)
    codes = _codes(num_frames, len(pattern))
    steps = delay_codes(codes, layout)
    assert steps.shape == (num_frames + max(pattern) + 2, len(pattern))
    for channel, delay in enumerate(pattern):
        column = steps[:, channel].tolist()
        expected = [layout.bos_id] * (1 + delay) + codes[:, channel].tolist() + [layout.eos_id]
        expected += [layout.pad_id] * (len(column) - len(expected))
        assert column == expected


def test_cut_clip_has_no_eos() -> None:
    steps = delay_codes(_codes(5, 9), TokenLayout(), complete=False)
    assert not (steps == 1024).any()
    assert steps.shape == (5 + 15 + 1, 9)


def test_last_frames_of_late_channels_are_kept() -> None:
    """Existing trainers cut the last 8 to 15 frames of channels 1 to 8."""
    codes = _codes(20, 9)
    steps = delay_codes(codes, TokenLayout())
    assert [steps[1 + 19 + d, c].item() for c, d in enumerate(TokenLayout().delay_pattern)] == (
        codes[19].tolist()
    )


def test_stream_without_end_gives_the_whole_frames() -> None:
    """A stream cut off at a limit: frames that the delay leaves unfinished are no frames."""
    layout = TokenLayout(delay_pattern=(0, 2, 3))
    codes = _codes(10, 3)
    steps = delay_codes(codes, layout)[:9]
    assert torch.equal(undelay_codes(steps, layout), codes[: 9 - 1 - 3])


@given(pattern=DELAY_PATTERNS, num_steps=st.integers(1, 50))
def test_indices_and_delay_equal_dia_processor(pattern: tuple[int, ...], num_steps: int) -> None:
    audio = _codes(num_steps, len(pattern))[None]
    for revert in (False, True):
        precomputed = DiaProcessor.build_indices(
            bsz=1,
            seq_len=num_steps,
            num_channels=len(pattern),
            delay_pattern=list(pattern),
            revert=revert,
        )
        theirs = DiaProcessor.apply_audio_delay(audio, 1025, 1026, precomputed)
        if revert:
            indices = build_revert_indices(num_steps, pattern)
            ours = revert_audio_delay(audio, indices, pad_id=1025)
        else:
            indices = build_delay_indices(num_steps, pattern)
            ours = apply_audio_delay(audio, indices, bos_id=1026, pad_id=1025)
        assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings("ignore")  # theirs; DAC's weight norm among them
def test_steps_and_labels_equal_dia_processor(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The whole path, audio to labels, of a clip."""
    path = tmp_path_factory.mktemp("dac")
    save_tiny_dac(path)
    dac = DacModel.from_pretrained(path).eval()
    processor = DiaProcessor(
        DiaFeatureExtractor(sampling_rate=44_100, hop_length=512), DiaTokenizer(), dac
    )
    audio = np.random.default_rng(0).standard_normal(30 * 512).astype(np.float32) * 0.1
    theirs = processor(
        text=["[S1] Hi."],
        audio=[audio],
        generation=False,
        output_labels=True,
        sampling_rate=44_100,
    )
    with torch.no_grad():
        codes = dac.encode(torch.from_numpy(audio)[None, None]).audio_codes[0].T
    steps = delay_codes(codes, TokenLayout())
    assert torch.equal(theirs["decoder_input_ids"][0].long(), steps[:-1])
    targets = steps[1:].masked_fill((steps[1:] == 1025) | (steps[1:] == 1026), -100)
    assert torch.equal(theirs["labels"].view(9, -1).T, targets)


@pytest.mark.parametrize("pattern", [(), (1, 2), (0, -1)])
def test_layout_refuses_patterns_without_a_first_channel(pattern: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="delay_pattern"):
        TokenLayout(delay_pattern=pattern)


def test_layout_refuses_special_ids_among_the_codes() -> None:
    with pytest.raises(ValueError, match="three ids from 1024 on"):
        TokenLayout(eos_id=1000)
