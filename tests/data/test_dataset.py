"""A dataset leaves out what does not fit, counts it, and cuts nothing."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from fake_audio import FAKE_SPEC
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dialoom.codec import Codes
from dialoom.data import Clip, Corpus, CorpusWriter, DiaDataset, LengthBucketSampler, collate
from dialoom.data.dataset import max_frames
from dialoom.errors import DataError
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Clip i has i + 1 frames of 20 ms and a text of i + 6 bytes with its tag as one."""
    clips = [
        Clip(f"{i}", "[S1] " + "x" * (i + 4), None, None, Codes(np.full((i + 1, 3), i, np.uint16)))
        for i in range(16)
    ]
    path = tmp_path_factory.mktemp("corpus")
    writer = CorpusWriter(path, FAKE_SPEC, valid_fraction=0.0)
    writer.write(0, clips)
    writer.finish(1)
    return Corpus.open(path)


def test_all_clips_whole(corpus: Corpus) -> None:
    dataset = DiaDataset(corpus, split="train")
    assert len(dataset) == 16
    assert dataset.lengths == list(range(1, 17))
    assert dataset.num_left_out == 0
    assert dataset[15].codes.num_frames == 16


def test_what_is_beyond_a_limit_is_left_out_and_counted(corpus: Corpus) -> None:
    dataset = DiaDataset(corpus, split="train", max_seconds=0.1)
    assert dataset.lengths == [1, 2, 3, 4, 5]
    assert dataset.num_left_out == 11
    dataset = DiaDataset(corpus, split="train", max_text_bytes=8)
    assert [dataset[i].text for i in range(len(dataset))] == ["[S1] " + "x" * n for n in (4, 5, 6)]
    assert [dataset[i].codes.num_frames for i in range(len(dataset))] == dataset.lengths


@given(st.integers(1, 4000), st.sampled_from([44_100 / 512, 12.5, 50.0, 24_000 / 7]))
def test_a_limit_in_seconds_holds_the_frames_it_was_made_from(
    num_frames: int, frames_per_second: float
) -> None:
    """Defect: the longest clip that the model holds was lost to rounding."""
    assert num_frames <= max_frames(num_frames / frames_per_second, frames_per_second)
    assert num_frames + 1 > max_frames(num_frames / frames_per_second, frames_per_second)


def test_refuses_a_corpus_of_another_codec(corpus: Corpus) -> None:
    DiaDataset(corpus, split="train", expect_codec=replace(FAKE_SPEC, name="renamed"))
    other = replace(FAKE_SPEC, name="other", content_hash="0" * 64)
    with pytest.raises(DataError, match=r"made by codec fake .* not by other") as caught:
        DiaDataset(corpus, split="train", expect_codec=other)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="hop_length 320, expected 160"):
        DiaDataset(corpus, split="train", expect_codec=replace(FAKE_SPEC, hop_length=160))


def test_refuses_to_be_empty(corpus: Corpus) -> None:
    with pytest.raises(DataError, match="of 0 clips of split 'valid' none"):
        DiaDataset(corpus, split="valid")
    with pytest.raises(DataError, match=r"of 16 clips .* max_seconds=0\.001.*; raise the limits"):
        DiaDataset(corpus, split="train", max_seconds=0.001)


def test_works_with_torchs_loader(corpus: Corpus) -> None:
    dataset = DiaDataset(corpus, split="train")
    sampler = LengthBucketSampler(dataset.lengths, batch_size=4, seed=0)
    layout = TokenLayout(
        delay_pattern=(0, 1, 2), codebook_size=16, eos_id=16, pad_id=17, bos_id=18, vocab_size=19
    )
    loader = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=sampler.epoch_batches(0),
        collate_fn=partial(collate, layout=layout, tags=TagTable.default(), frames_per_second=50.0),
    )
    batches = list(loader)
    assert sorted(clip_id for batch in batches for clip_id in batch.clip_ids) == sorted(
        str(i) for i in range(16)
    )
    assert sum(batch.audio_seconds for batch in batches) == pytest.approx(sum(range(1, 17)) / 50)
