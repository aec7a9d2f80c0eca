"""One step at a time, in few operations, is the mathematics that is trained."""

import pytest
import torch
from helpers import small_model

from dialoom.model import Revision
from dialoom.model.blocks import RMSNorm
from dialoom.model.projection import Projection, plain_weight
from dialoom.model.step_decoder import StepDecoder
from dialoom.model.step_layer import StepNorm, attend
from dialoom.model.step_memory import StepMemory

NUM_STEPS = 14
TEXTS = [[65, 1, 200, 7, 33, 90, 91, 14, 2, 45, 46, 47, 48], [1, 70, 71, 72, 73, 74, 75, 76], [9]]
GIVEN = [1, 7, 7]
"""Steps that each row knows: BOS alone, or a prompt behind it."""


def _audio() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 1027, (3, 7 + NUM_STEPS, 9), generator=generator)


def _memory(
    decoder: StepDecoder, audio_BTC: torch.Tensor, *, guided: list[bool], fixed_shapes: bool
) -> StepMemory:
    openings = [
        decoder.open(text, audio_TC[:given], is_guided=is_guided)
        for text, audio_TC, given, is_guided in zip(TEXTS, audio_BTC, GIVEN, guided, strict=True)
    ]
    return StepMemory.assemble(openings, NUM_STEPS, fixed_shapes=fixed_shapes)


def _steps(
    decoder: StepDecoder,
    memory: StepMemory,
    audio_BTC: torch.Tensor,
    rows: list[int],
    steps: range,
) -> torch.Tensor:
    """Logits (R, T, C, V) of these rows of the audio."""
    logits = []
    for step in steps:
        tokens = torch.stack([audio_BTC[row, GIVEN[row] - 1 + step] for row in rows])
        spans = memory.spans(step)
        logits.append(decoder.step(tokens, memory, torch.tensor([step]), spans))
    return torch.stack(logits, dim=1)


def _expected(model: torch.nn.Module, text: list[int], row: int) -> torch.Tensor:
    start = GIVEN[row] - 1
    whole = model(torch.tensor([text]), _audio()[row : row + 1])
    return whole[0, start : start + NUM_STEPS]


@torch.inference_mode()
@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("revision", list(Revision))
def test_steps_equal_all_at_once(revision: Revision, fixed_shapes: bool) -> None:
    """Rows of unlike texts and prompts; the unconditional ones see zero bytes for all bytes."""
    model, audio = small_model(revision), _audio()
    decoder = StepDecoder(model)
    memory = _memory(decoder, audio, guided=[True, True, False], fixed_shapes=fixed_shapes)
    logits = _steps(decoder, memory, audio, [0, 1, 2, 0, 1], range(NUM_STEPS))
    for row, text in enumerate(TEXTS):
        expected = _expected(model, text, row)
        torch.testing.assert_close(logits[row], expected, rtol=1e-4, atol=1e-4)
    for row in (0, 1):
        expected = _expected(model, [0] * len(TEXTS[row]), row)
        torch.testing.assert_close(logits[3 + row], expected, rtol=1e-4, atol=1e-4)
        assert (logits[3 + row] - logits[row]).abs().max() > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_rows_go_on_when_others_leave(fixed_shapes: bool) -> None:
    model, audio = small_model(), _audio()
    decoder = StepDecoder(model)
    memory = _memory(decoder, audio, guided=[True, True, True], fixed_shapes=fixed_shapes)
    _steps(decoder, memory, audio, [0, 1, 2, 0, 1, 2], range(6))
    memory = memory.keep([0, 2])
    logits = _steps(decoder, memory, audio, [0, 2, 0, 2], range(6, NUM_STEPS))
    for place, (row, text) in enumerate([(0, TEXTS[0]), (2, TEXTS[2]), (0, [0]), (2, [0])]):
        expected = _expected(model, text, row)[6:]
        torch.testing.assert_close(logits[place], expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_worse_than_the_trained_layers(dtype: torch.dtype) -> None:
    """The trained layers' error is held against transformers' in tests/parity."""
    audio, rows = _audio(), [0, 1, 2]
    exact = torch.stack([_expected(small_model(), text, row) for row, text in enumerate(TEXTS)])
    model = small_model().to(dtype)
    trained = torch.stack([_expected(model, text, row) for row, text in enumerate(TEXTS)])
    decoder = StepDecoder(model)
    memory = _memory(decoder, audio, guided=[False] * 3, fixed_shapes=False)
    stepwise = _steps(decoder, memory, audio, rows, range(NUM_STEPS))
    error = (stepwise - exact).abs().max() / exact.abs().max()
    assert error < 8 * torch.finfo(dtype).eps
    assert error < 1.5 * (trained.float() - exact).abs().max() / exact.abs().max()


@torch.inference_mode()
def test_scores_and_softmax_of_half_precision_are_summed_in_float32() -> None:
    """Dia does not scale its scores: in bfloat16 those of 100 and 100.4 would be one."""
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (
        torch.randn(2, 1, n, 64, generator=generator).bfloat16() * scale
        for n, scale in ((4, 3.0), (90, 3.0), (90, 1.0))
    )
    exact = (queries.double() @ keys.double().transpose(-1, -2)).softmax(-1) @ values.double()
    for mask in (None, torch.ones(2, 1, 1, 90, dtype=torch.bool)):
        actual = attend(queries, keys, values, mask)
        assert (actual - exact.flatten(1)).abs().max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_projection_is_a_product(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 16, generator=generator).to(dtype)
    x, residual = (torch.randn(3, n, generator=generator).to(dtype) for n in (16, 24))
    projection = Projection(weight)
    exact = x.double() @ weight.double().T
    tolerance = 8 * torch.finfo(dtype).eps
    with torch.inference_mode():
        assert (projection(x) - exact).abs().max() < tolerance * exact.abs().max()
        added = projection.add_to(residual, x)
    assert (added - (exact + residual)).abs().max() < tolerance * exact.abs().max()


def test_weight_of_an_adapted_map_holds_the_adapter() -> None:
    class Adapted(torch.nn.Module):
        in_features = 16

        def __init__(self) -> None:
            super().__init__()
            self.base, self.low = torch.nn.Linear(16, 24, bias=False), torch.nn.Parameter(x)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + x @ self.low

    x = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    adapted = Adapted()
    torch.testing.assert_close(plain_weight(adapted), adapted.base.weight.detach() + x.T)
    assert plain_weight(adapted.base).data_ptr() == adapted.base.weight.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_a_product_do_not_depend_on_their_number(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    projection = Projection(torch.randn(512, 256, generator=generator).to(dtype))
    x = torch.randn(16, 256, generator=generator).to(dtype)
    with torch.inference_mode():
        whole = projection(x)
        for count in (1, 2, 3, 8):
            assert torch.equal(projection(x[:count]), whole[:count]), count


def test_norm_is_the_trained_one() -> None:
    norm = RMSNorm(64, eps=1e-5)
    torch.nn.init.uniform_(norm.weight)
    for scale in (1e-4, 1.0, 1e4):
        x = scale * torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(StepNorm(norm)(x), norm(x))
