"""The rules of choosing the next id."""

import pytest
import torch

from dialoom.errors import GenerationError
from dialoom.generate.sampling import choose_ids, guide, gumbel_noise, num_kept
from dialoom.generate.settings import SamplingSettings
from dialoom.sequence import TokenLayout

LAYOUT = TokenLayout(delay_pattern=(0, 1, 2))
PLAIN = SamplingSettings(temperature=1.0, top_p=1.0, top_k=0, cfg_scale=0)
GREEDY = SamplingSettings(temperature=0, cfg_scale=0)


def _choose(
    conditional: torch.Tensor,
    unconditional: torch.Tensor | None,
    settings: SamplingSettings,
    *,
    seed: int = 0,
) -> torch.Tensor:
    shape = (*conditional.shape[:2], num_kept(settings, LAYOUT))
    noise = gumbel_noise(shape, torch.Generator().manual_seed(seed))
    return choose_ids(conditional, unconditional, settings, LAYOUT, noise)


def _logits(rows: int = 1, **ids: float) -> torch.Tensor:
    logits = torch.zeros(rows, 3, 1028)
    for name, value in ids.items():
        logits[..., int(name[1:])] = value
    return logits


def test_special_ids_are_never_drawn_but_eos_on_channel_0() -> None:
    logits = _logits(i1024=9.0, i1025=20.0, i1026=20.0, i1027=20.0)
    for settings in (GREEDY, PLAIN):
        ids = _choose(logits, None, settings)[0]
        assert ids[0] == 1024
        assert (ids[1:] < 1024).all()


def test_eos_only_where_it_is_the_best() -> None:
    """It is as likely as another id, but not the arg-max: never drawn in a thousand draws."""
    logits = _logits(1000, i5=8.0, i1024=7.99)
    ids = _choose(logits, None, PLAIN)
    assert not (ids == 1024).any()
    ids = _choose(_logits(100, i5=8.0, i1024=8.01), None, PLAIN)
    assert (ids[:, 0] == 1024).all()


def test_guidance_is_centred_on_the_conditional_logits() -> None:
    conditional, unconditional = torch.tensor([[[2.0]]]), torch.tensor([[[1.5]]])
    assert guide(conditional, unconditional, 3.0).item() == 2.0 + 3.0 * 0.5
    assert guide(conditional, None, 3.0) is conditional


def test_guidance_chooses_who_stays_and_the_conditional_logits_decide() -> None:
    """Guided, id 7 is far ahead of 8; among the two that stay, the conditional ones prefer 8."""
    conditional = _logits(500, i7=4.0, i8=5.0, i9=4.9)
    unconditional = _logits(500, i7=0.0, i8=3.0, i9=4.9)
    settings = SamplingSettings(temperature=1.0, top_p=1.0, top_k=2, cfg_scale=3.0)
    ids = _choose(conditional, unconditional, settings)
    assert set(ids.unique().tolist()) == {7, 8}
    assert (ids == 8).float().mean().item() == pytest.approx(1 / (1 + torch.e**-1), abs=0.05)


def test_temperature_top_k_and_nucleus_narrow_the_choice() -> None:
    logits = _logits(200, i1=5.0, i2=4.0, i3=3.0)
    for settings, allowed in (
        (SamplingSettings(1.0, 1.0, 2, 0), {1, 2}),
        (SamplingSettings(1.0, 0.05, 0, 0), {1}),
        (SamplingSettings(0.01, 1.0, 0, 0), {1}),
    ):
        ids = _choose(logits, None, settings)
        assert set(ids.unique().tolist()) == allowed


def test_draws_follow_the_softmax() -> None:
    logits = _logits(4000, i1=9.0, i2=10.0)
    ids = _choose(logits, None, SamplingSettings(1.0, 1.0, 2, 0))
    assert (ids == 2).float().mean().item() == pytest.approx(1 / (1 + torch.e**-1), abs=0.02)


def test_where_only_forbidden_ids_stay_the_best_code_is_taken() -> None:
    logits = _logits(i5=1.0, i1026=9.0)
    for temperature in (0, 1.0):
        settings = SamplingSettings(temperature=temperature, top_k=1, cfg_scale=0)
        assert _choose(logits, None, settings).tolist() == [[5, 5, 5]]


def test_row_does_not_depend_on_its_neighbours() -> None:
    logits = torch.randn(3, 3, 1028, generator=torch.Generator().manual_seed(0))
    noise = gumbel_noise((3, 3, 1028), torch.Generator().manual_seed(0))
    together = choose_ids(logits, None, PLAIN, LAYOUT, noise)
    alone = choose_ids(logits[1:2], None, PLAIN, LAYOUT, noise[1:2])
    assert torch.equal(together[1:2], alone)


def test_least_temperature_is_the_best_id_and_no_number_fails() -> None:
    logits = torch.randn(2, 3, 1028, generator=torch.Generator().manual_seed(0))
    settings = SamplingSettings(temperature=5e-324, top_p=1e-9, cfg_scale=0)
    assert torch.equal(_choose(logits, None, settings), _choose(logits, None, GREEDY))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("cfg_scale", -0.5),
        ("cfg_scale", float("inf")),
        ("max_seconds", 0),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(GenerationError, match=f"{setting.replace('_', '-')} is .*: it must be"):
        SamplingSettings(**{setting: value})
