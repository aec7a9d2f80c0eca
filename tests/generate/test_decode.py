"""The decoding loop: ends, prompts, batches and seeds."""

import pytest
import torch
from helpers import small_model

from dialoom.errors import GenerationError
from dialoom.generate import SamplingSettings
from dialoom.generate.decode import Request, generate_codes
from dialoom.model import DiaModel
from dialoom.text import TagTable

SAMPLED = SamplingSettings(temperature=1.3, cfg_scale=3.0)
GREEDY = SamplingSettings(temperature=0, cfg_scale=0)
TEXTS = ["[S1] Hi.", "[S1] A longer text. [S2] Yes!", "[S2] Füße"]


def _ids(text: str) -> list[int]:
    return TagTable.default().encode(text)


def _silenced(gain: float) -> DiaModel:
    """A model whose channel 0 is the more inclined to EOS the larger the gain."""
    model = small_model(seed=1)
    with torch.no_grad():
        model.logits_dense.weight[1024].mul_(gain)
    return model


@pytest.mark.parametrize(("settings", "eos_gain"), [(SAMPLED, 4.0), (GREEDY, 2.0)])
def test_row_is_the_same_alone_and_in_a_batch(settings: SamplingSettings, eos_gain: float) -> None:
    model = _silenced(eos_gain)
    prompt = torch.randint(0, 1024, (6, 9), generator=torch.Generator().manual_seed(0))
    requests = [Request(_ids(text), seed=row) for row, text in enumerate(TEXTS)]
    requests.append(Request(_ids(TEXTS[0]), prompt=prompt, seed=9))
    together = generate_codes(model, requests, settings, max_frames=60)
    assert len({row.codes.shape[0] for row in together}) > 1, "rows shall end at different steps"
    for request, row in zip(requests, together, strict=True):
        alone = generate_codes(model, [request], settings, max_frames=60)[0]
        assert torch.equal(alone.codes, row.codes)
        assert alone.stopped == row.stopped


def test_seed_decides() -> None:
    model = _silenced(0.0)
    same = [
        generate_codes(model, [Request(_ids(TEXTS[0]), seed=seed)], SAMPLED, max_frames=12)[0]
        for seed in (3, 3, 4)
    ]
    assert torch.equal(same[0].codes, same[1].codes)
    assert not torch.equal(same[0].codes, same[2].codes)


def test_limit_ends_what_does_not_end_by_itself() -> None:
    result = generate_codes(_silenced(0.0), [Request(_ids(TEXTS[0]))], GREEDY, max_frames=17)[0]
    assert result.codes.shape == (17, 9)
    assert not result.stopped
    assert int(result.codes.max()) < 1024


def test_eos_at_once_is_an_empty_clip() -> None:
    model = small_model()
    with torch.no_grad():
        model.logits_dense.weight[:1024] = 0
        model.logits_dense.weight[1024] = model.logits_dense.weight[1024].abs() * 0
        model.decoder.norm.weight.zero_()
        model.logits_dense.weight[1024] = 1.0
    hook = model.decoder.norm.register_forward_hook(lambda *args: torch.ones_like(args[2]))
    result = generate_codes(model, [Request(_ids(TEXTS[0]))], GREEDY, max_frames=9)[0]
    hook.remove()
    assert result.codes.shape == (0, 9)
    assert result.stopped


def test_prompt_is_no_part_of_the_result_but_changes_it() -> None:
    model = _silenced(0.0)
    prompt = torch.randint(0, 1024, (20, 9), generator=torch.Generator().manual_seed(0))
    with_prompt = generate_codes(
        model, [Request(_ids(TEXTS[0]), prompt=prompt)], GREEDY, max_frames=10
    )[0]
    without = generate_codes(model, [Request(_ids(TEXTS[0]))], GREEDY, max_frames=10)[0]
    assert with_prompt.codes.shape == without.codes.shape == (10, 9)
    assert not torch.equal(with_prompt.codes, without.codes)


def test_guidance_off_leaves_out_the_second_row() -> None:
    model = _silenced(0.0)
    rows: list[int] = []
    hook = model.logits_dense.register_forward_hook(
        lambda _, inputs, __: rows.append(len(inputs[0]))
    )
    for settings in (GREEDY, SamplingSettings(temperature=0, cfg_scale=2.0)):
        generate_codes(model, [Request(_ids(TEXTS[0]))], settings, max_frames=1)
    hook.remove()
    assert sorted(set(rows)) == [1, 2]
    assert rows[0] == 1


def test_unconditional_row_sees_zero_bytes_under_the_texts_mask() -> None:
    model = _silenced(0.0)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    requests = [Request(_ids(text)) for text in TEXTS]
    generate_codes(model, requests, SAMPLED, max_frames=1)
    hook.remove()
    text_BS, mask_BS = seen[0]
    assert (text_BS[3:] == 0).all()
    assert torch.equal(mask_BS[3:], mask_BS[:3])
    assert mask_BS[:3].sum(dim=1).tolist() == [len(_ids(text)) for text in TEXTS]


def test_what_does_not_fit_is_refused() -> None:
    model = small_model()
    with pytest.raises(GenerationError, match="has 1025 bytes, this model reads 1 to 1024"):
        generate_codes(model, [Request([65] * 1025)], GREEDY)
    with pytest.raises(GenerationError, match="prompt has 4 codebooks, the model 9"):
        request = Request([65], prompt=torch.zeros(3, 4, dtype=torch.long))
        generate_codes(model, [request], GREEDY)
    with pytest.raises(GenerationError, match="has 3055 frames, the model has room for 3055"):
        request = Request([65], prompt=torch.zeros(3055, 9, dtype=torch.long))
        generate_codes(model, [request], GREEDY)


def test_steps_are_reported() -> None:
    steps: list[tuple[int, int]] = []
    generate_codes(
        _silenced(0.0),
        [Request([65])],
        GREEDY,
        max_frames=3,
        on_step=lambda done, most: steps.append((done, most)),
    )
    assert steps[-1] == (3 + 15 + 2, 3 + 15 + 2)
