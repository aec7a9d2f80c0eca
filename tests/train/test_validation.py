"""What the texts tell, and whose mathematics the weights are for."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import small_model

from dialoom.codec import Codes
from dialoom.data import Batch, Clip, collate, exchange_texts
from dialoom.model import DiaModel, Revision
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import Ranks
from dialoom.train.replica import Replica
from dialoom.train.step import Objective, evaluate_loss
from dialoom.train.validation import Validation

TEXTS = ("[S1] One.", "[S2] Two, and a little more.", "[S1] Three", "[S2] Four!", "[S1] Five, six.")


def _batches(texts: tuple[str, ...] = TEXTS, *, packed: bool = False) -> list[Batch]:
    """Two batches of three and two clips, which draw the same codes for any texts."""
    rng = np.random.default_rng(3)
    clips = [
        Clip(str(i), text, None, None, Codes(rng.integers(0, 1024, (4 + i, 9)).astype(np.uint16)))
        for i, text in enumerate(texts)
    ]
    to_batch = partial(
        collate, layout=TokenLayout(), tags=TagTable.default(), frames_per_second=86, packed=packed
    )
    return [to_batch(clips[:3]), to_batch(clips[3:])]


def _validation(model: DiaModel, batches: list[Batch]) -> Validation:
    return Validation(batches, Replica(model, Objective(clip_norm=1.0), Ranks()))


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_every_clip_gets_the_text_of_the_next(packed: bool) -> None:
    exchanged = exchange_texts(_batches(packed=packed))
    expected = _batches((*TEXTS[1:], TEXTS[0]), packed=packed)
    for one, other in zip(exchanged, expected, strict=True):
        assert torch.equal(one.text_BS, other.text_BS)
        assert torch.equal(one.text_mask_BS, other.text_mask_BS)
        assert torch.equal(one.targets_BTC, other.targets_BTC)
        assert one.num_text_bytes == other.num_text_bytes
        assert one.text_lengths == other.text_lengths
        assert one.audio_lengths == other.audio_lengths


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_what_the_texts_tell_is_the_loss_without_them(packed: bool) -> None:
    model = small_model()
    record = _validation(model, _batches(packed=packed)).measure(7)
    other = evaluate_loss(model, _batches((*TEXTS[1:], TEXTS[0]), packed=packed), nullcontext())
    expected = float(other.channel_losses_C[0] / other.channel_targets_C[0])
    assert record.text_gain == pytest.approx(expected - record.loss_channels[0], abs=1e-5)
    assert abs(record.text_gain) > 1e-3
    assert np.isnan(record.other_revision_loss)


@pytest.mark.parametrize("revision", list(Revision))
def test_the_other_revision_is_measured_before_the_first_step(revision: Revision) -> None:
    model = small_model(revision)
    (other,) = (one for one in Revision if one is not revision)
    record = _validation(model, _batches()).measure(0)
    assert model.config.revision is model.decoder.config.revision is revision
    twin = DiaModel(replace(model.config, revision=other)).eval()
    twin.load_state_dict(model.state_dict())
    expected = _validation(twin, _batches()).measure(0)
    assert record.other_revision_loss == pytest.approx(expected.loss, abs=1e-5)
    assert record.other_revision_text_gain == pytest.approx(expected.text_gain, abs=1e-5)
    assert abs(record.loss - expected.loss) > 1e-3


def test_a_single_clip_has_no_other_text() -> None:
    batches = [collate_one()]
    record = _validation(small_model(), batches).measure(3)
    assert np.isnan(record.text_gain)
    assert np.isfinite(record.loss)


def collate_one() -> Batch:
    clip = Clip("0", TEXTS[0], None, None, Codes(np.zeros((5, 9), np.uint16)))
    return collate([clip], layout=TokenLayout(), tags=TagTable.default(), frames_per_second=86)
