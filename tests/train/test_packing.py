"""Packed, padded and clip by clip are one mathematics: loss and every gradient agree."""

from contextlib import nullcontext

import pytest
import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus

from dialoom.data import Batch, Clip, Corpus, collate, drop_text, hide_past, take_clips
from dialoom.model import Revision
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train.step import Objective, evaluate_loss, train_step

LAYOUT = TokenLayout()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    path = write_corpus(tmp_path_factory.mktemp("c") / "corpus", lengths=[40, 7, 23, 1])
    corpus = Corpus.open(path)
    return [corpus[i] for i in range(len(corpus))]


def _batch(clips: list[Clip], *, packed: bool) -> Batch:
    return collate(
        clips,
        layout=LAYOUT,
        tags=TagTable.default(),
        frames_per_second=SPEC.frames_per_second,
        packed=packed,
    )


def _step(
    batches: list[Batch], revision: Revision
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    model = small_model(revision).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    weights = torch.linspace(2, 1, 9)
    result = train_step(
        model, batches, optimizer, Objective(clip_norm=1e9, channel_weights=weights)
    )
    sums = {name: float(value.double().sum()) for name, value in vars(result.sums).items()}
    return sums, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("revision", list(Revision))
def test_packed_padded_and_one_by_one_have_the_same_loss_and_gradients(
    clips: list[Clip], revision: Revision
) -> None:
    sums, gradients = _step([_batch(clips, packed=False)], revision)
    assert len(gradients) == len(list(small_model().parameters()))
    one_by_one = [_batch([clip], packed=False) for clip in clips]
    for other in ([_batch(clips, packed=True)], one_by_one):
        other_sums, other_gradients = _step(other, revision)
        assert other_sums == pytest.approx(sums, rel=2e-6)
        for name, gradient in gradients.items():
            scale = gradient.abs().max()
            error = (other_gradients[name] - gradient).abs().max() / scale
            assert error < 2e-5, f"{name}: {error}"


def test_packed_batches_have_no_padding(clips: list[Clip]) -> None:
    batch = _batch(clips, packed=True)
    assert batch.text_BS.shape == (1, sum(batch.text_lengths))
    assert batch.audio_BTC.shape == (1, sum(batch.audio_lengths), 9)
    assert batch.audio_lengths == tuple(_batch(clips, packed=False).audio_lengths)
    assert not batch.has_text_padding
    assert batch.num_targets == _batch(clips, packed=False).num_targets


def test_dropout_hides_the_same_in_packed_and_padded_batches(clips: list[Clip]) -> None:
    altered = []
    for packed in (True, False):
        batch = drop_text(_batch(clips, packed=packed), 0.5, torch.Generator().manual_seed(1))
        batch = hide_past(batch, 0.4, LAYOUT.pad_id, torch.Generator().manual_seed(4))
        altered.append([take_clips(batch, [i], pad_id=LAYOUT.pad_id) for i in range(len(clips))])
    for packed_clip, padded_clip in zip(*altered, strict=True):
        assert torch.equal(packed_clip.text_BS, padded_clip.text_BS)
        assert torch.equal(packed_clip.audio_BTC, padded_clip.audio_BTC)
    lost = [not batch.text_BS.any() for batch in altered[0]]
    assert any(lost) and not all(lost), "the seed drops some texts and leaves some"


@pytest.mark.parametrize("packed", [True, False])
def test_clips_taken_from_a_batch_are_those_clips_batched(clips: list[Clip], packed: bool) -> None:
    taken = take_clips(_batch(clips, packed=packed), [2, 1], pad_id=LAYOUT.pad_id)
    expected = _batch([clips[2], clips[1]], packed=packed)
    for name in ("text_BS", "text_mask_BS", "audio_BTC", "targets_BTC", "audio_mask_BT"):
        assert torch.equal(getattr(taken, name), getattr(expected, name)), name
    for name in ("num_targets", "num_text_bytes", "clip_ids", "audio_lengths", "text_lengths"):
        assert getattr(taken, name) == getattr(expected, name), name
    whole = _batch(clips, packed=packed).audio_seconds
    rest = take_clips(_batch(clips, packed=packed), [0, 3], pad_id=LAYOUT.pad_id)
    assert taken.audio_seconds + rest.audio_seconds == pytest.approx(whole)


def test_validation_of_packed_clips_is_that_of_padded_ones(clips: list[Clip]) -> None:
    model = small_model()
    losses = [
        float(evaluate_loss(model, [_batch(clips, packed=packed)], nullcontext()).weighted)
        for packed in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
