"""The decoding loop: ends, prompts, batches and seeds."""

from typing import Any

import pytest
import torch
from helpers import small_model

from dialoom.errors import GenerationError
from dialoom.generate import SamplingSettings
from dialoom.generate.decode import Decoding, Request, generate_codes
from dialoom.model import DiaModel
from dialoom.model.step_decoder import StepDecoder
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


def test_eos_at_once_is_an_empty_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_eos(self: StepDecoder, tokens_RC: torch.Tensor, *_: object) -> torch.Tensor:
        logits = torch.zeros(*tokens_RC.shape, 1028)
        logits[..., 1024] = 1.0
        return logits

    monkeypatch.setattr(StepDecoder, "step", only_eos)
    result = generate_codes(small_model(), [Request(_ids(TEXTS[0]))], GREEDY, max_frames=9)[0]
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


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each step computes."""
    seen: list[int] = []
    step = StepDecoder.step

    def counted(self: StepDecoder, tokens_RC: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(len(tokens_RC))
        return step(self, tokens_RC, *rest)

    monkeypatch.setattr(StepDecoder, "step", counted)
    return seen


def test_guidance_off_leaves_out_the_second_row(rows: list[int]) -> None:
    model = _silenced(0.0)
    for settings in (GREEDY, SamplingSettings(temperature=0, cfg_scale=2.0)):
        generate_codes(model, [Request(_ids(TEXTS[0]))], settings, max_frames=1)
    assert sorted(set(rows)) == [1, 2]
    assert rows[0] == 1


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_rows_that_have_ended_leave(rows: list[int], fixed_shapes: bool) -> None:
    decoder = StepDecoder(_silenced(0.0))
    requests = [
        Request(_ids(text), max_frames=n) for text, n in zip(TEXTS, (2, 3, 30), strict=True)
    ]
    decoding = Decoding(decoder, requests, SAMPLED, fixed_shapes=fixed_shapes)
    while not decoding.is_done:
        decoding.advance()
    assert [row.codes.shape[0] for row in decoding.results] == [2, 3, 30]
    assert (rows[0], rows[-1], len(rows)) == (6, 2, 30 + 15 + 1)
    assert sorted(set(rows)) == ([2, 6] if fixed_shapes else [2, 4, 6])


def test_each_request_has_its_own_settings_prompt_and_seed() -> None:
    """Guided, unguided, greedy and drawn, with and without prompt, several takes: as if alone."""
    model, generator = _silenced(0.0), torch.Generator().manual_seed(0)
    prompt = torch.randint(0, 1024, (6, 9), generator=generator)
    no_guidance, narrow = SamplingSettings(1.0, 1.0, 0, 0), SamplingSettings(0.7, 0.8, 20, 1.5)
    asked = [(SAMPLED, None), (GREEDY, prompt), (narrow, prompt), (no_guidance, None)]
    requests = [
        Request(_ids(TEXTS[row % 3]), prompt=given, seed=row, settings=settings, max_frames=4 + row)
        for row, (settings, given) in enumerate(asked)
    ]
    requests += [Request(_ids(TEXTS[0]), seed=seed, max_frames=4) for seed in (0, 5, 6)]
    decoder = StepDecoder(model)
    together = generate_codes(model, requests, SAMPLED, decoder=decoder)
    for request, row in zip(requests, together, strict=True):
        alone = generate_codes(model, [request], SAMPLED, decoder=decoder)[0]
        assert torch.equal(alone.codes, row.codes)
    takes = [row.codes for row in together[-3:]]
    assert torch.equal(takes[0], together[0].codes)
    assert not torch.equal(takes[1], takes[2])


def test_fixed_shapes_say_the_same() -> None:
    """What a GPU computes, whose windows and masks hide what no row may see."""
    model = _silenced(4.0)
    prompt = torch.randint(0, 1024, (6, 9), generator=torch.Generator().manual_seed(0))
    requests = [Request(_ids(text), seed=row) for row, text in enumerate(TEXTS)]
    requests.append(Request(_ids(TEXTS[1]), prompt=prompt, seed=9))
    expected = generate_codes(model, requests, SAMPLED, max_frames=40)
    decoding = Decoding(StepDecoder(model), requests, SAMPLED, max_frames=40, fixed_shapes=True)
    while not decoding.is_done:
        decoding.advance()
    for actual, wanted in zip(decoding.results, expected, strict=True):
        assert torch.equal(actual.codes, wanted.codes)
        assert actual.stopped == wanted.stopped


def test_frames_are_there_as_soon_as_all_channels_are() -> None:
    model = _silenced(0.0)
    prompt = torch.randint(0, 1024, (4, 9), generator=torch.Generator().manual_seed(0))
    request = Request(_ids(TEXTS[0]), prompt=prompt)
    decoding = Decoding(StepDecoder(model), [request], SAMPLED, max_frames=6)
    counts, parts = [], []
    while not decoding.is_done:
        decoding.advance()
        parts.append(decoding.frames(0))
        counts.append(len(parts[-1]))
    assert counts == [0] * 15 + [1, 2, 3, 4, 5, 6, 6]
    for part in parts:
        assert torch.equal(part, decoding.results[0].codes[: len(part)])


def test_logits_that_are_no_numbers_are_refused() -> None:
    model = _silenced(0.0)
    with torch.no_grad():
        model.decoder.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(GenerationError, match=r"are no numbers in float32: .* try bfloat16"):
        generate_codes(model, [Request([65])], GREEDY, max_frames=3)


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
