"""Logits and greedy codes are those of nari's own code, both revisions (tests/golden/README.md)."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from golden.nari_case import (
    ENDS,
    KEPT_IDS,
    MAX_STEPS,
    PROMPTED,
    TEXTS,
    golden_file,
    golden_model,
    prompt_codes,
    teacher_steps,
)

from dialoom.generate.decode import Request, generate_codes
from dialoom.generate.settings import SamplingSettings
from dialoom.model import Revision
from dialoom.text import TagTable

MAX_FRAMES = MAX_STEPS - 16

TOP_K = {Revision.JUNE_2025: 45, Revision.APRIL_2025: 1}
"""nari's greedy choice in 0626 is the best conditional logit among the 45 best guided ones; in
April it was the best guided one, which is what a top-k of 1 means here."""


def _golden(revision: Revision) -> Mapping[str, np.ndarray]:
    return np.load(golden_file(revision), allow_pickle=False)


@torch.inference_mode()
@pytest.mark.parametrize("revision", list(Revision))
def test_logits_of_texts_of_different_length(revision: Revision) -> None:
    golden, model = _golden(revision), golden_model(revision)
    ids = [torch.tensor(TagTable.default().encode(text)) for text in TEXTS]
    text_BS = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    logits = model(text_BS, teacher_steps(), text_BS != 0)
    expected = torch.from_numpy(golden["logits"])
    error = (logits[..., KEPT_IDS] - expected).abs().max() / expected.abs().max()
    assert error < 1e-5
    total = torch.from_numpy(golden["logsumexp"])
    assert ((logits.logsumexp(-1) - total).abs().max() / total.abs().max()) < 1e-5


@torch.inference_mode()
def test_the_revisions_differ_by_far_more_than_that() -> None:
    """So the test above could not pass with the other mathematics."""
    june, april = (torch.from_numpy(_golden(revision)["logits"]) for revision in Revision)
    assert (june - april).abs().max() / june.abs().max() > 0.01


@pytest.mark.parametrize(("revision", "end"), ENDS)
def test_greedy_codes(revision: Revision, end: str) -> None:
    """April's own end is not compared: its code multiplies the logit of EOS by 0.8 before."""
    eos_gain, seed = ENDS[revision, end]
    golden, model = _golden(revision), golden_model(revision, eos_gain=eos_gain, seed=seed)
    settings = SamplingSettings(temperature=0, cfg_scale=3.0, top_k=TOP_K[revision])
    requests = [Request(TagTable.default().encode(text)) for text in TEXTS]
    prompted = Request(TagTable.default().encode(PROMPTED), prompt=prompt_codes())
    results = generate_codes(model, requests, settings, max_frames=MAX_FRAMES)
    results += generate_codes(model, [prompted], settings, max_frames=MAX_FRAMES - 30)
    names = [*map(str, range(len(TEXTS))), "prompted"]
    for name, result in zip(names, results, strict=True):
        assert np.array_equal(result.codes.numpy(), golden[f"{end}_{name}"]), name
        assert result.stopped == (end == "own_end"), name
