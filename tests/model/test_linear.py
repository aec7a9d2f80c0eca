"""Products of many rows: the same numbers by oneDNN's kernels and by PyTorch's own."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dialoom.model import linear as linear_module
from dialoom.model.linear import has_onednn, is_for_onednn, linear, multiply_transposed

ROWS, IN, OUT = 700, 96, 160  # more than MIN_MULTIPLICATIONS

needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this PyTorch is built without oneDNN")


class _Calls(TorchDispatchMode):
    """Names of the operators that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def gradients(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Output and both gradients of a product, with so many rows in two dimensions."""
    x = drawn(2, rows // 2, IN).requires_grad_()
    weight = drawn(OUT, IN).requires_grad_()
    out = linear(x, weight)
    out.backward(drawn(*out.shape))
    assert x.grad is not None
    assert weight.grad is not None
    return out.detach(), x.grad, weight.grad


@pytest.mark.parametrize("rows", [2, ROWS], ids=["few rows", "many rows"])
def test_product_and_gradients_are_those_of_float64(rows: int) -> None:
    x, weight = drawn(2, rows // 2, IN).double(), drawn(OUT, IN).double()
    gradient = drawn(2, rows // 2, OUT).double()
    expected = (
        x @ weight.T,
        gradient @ weight,
        gradient.flatten(0, 1).T @ x.flatten(0, 1),
    )
    for got, want in zip(gradients(rows), expected, strict=True):
        assert got.shape == want.shape
        assert relative_error(got, want) < 3e-6


@needs_onednn
def test_many_rows_in_float32_are_onednns() -> None:
    with _Calls() as calls:
        gradients(ROWS)
    assert calls.names.count("dialoom.onednn_product.default") == 3
    assert not any(name.startswith("aten.mm") for name in calls.names)
    with _Calls() as calls:
        gradients(2)
    assert not any("onednn" in name for name in calls.names)


def test_without_onednn_everything_is_computed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear_module, "has_onednn", lambda: False)
    assert not is_for_onednn(drawn(ROWS, IN), drawn(OUT, IN))
    test_product_and_gradients_are_those_of_float64(ROWS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_left_to_pytorch(dtype: torch.dtype) -> None:
    assert not is_for_onednn(drawn(ROWS, IN).to(dtype), drawn(OUT, IN).to(dtype))
    assert linear(drawn(ROWS, IN).to(dtype), drawn(OUT, IN).to(dtype)).dtype is dtype


def test_autocast_decides_the_type() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(drawn(ROWS, IN), drawn(OUT, IN)).dtype is torch.bfloat16


def test_a_weight_that_is_no_plain_tensor_computes_itself() -> None:
    class Quantised(Tensor):
        pass

    assert not is_for_onednn(drawn(ROWS, IN), drawn(OUT, IN).as_subclass(Quantised))


@pytest.mark.parametrize("is_left_view", [False, True])
@pytest.mark.parametrize("is_right_view", [False, True])
@pytest.mark.parametrize("sizes", [(ROWS, OUT), (OUT, ROWS)])
def test_views_are_multiplied_as_they_are(
    sizes: tuple[int, int], *, is_left_view: bool, is_right_view: bool
) -> None:
    left, right = (drawn(size, IN) for size in sizes)
    want = left.double() @ right.double().T
    left = left.T.contiguous().T if is_left_view else left
    right = right.T.contiguous().T if is_right_view else right
    got = multiply_transposed(left, right)
    assert got.shape == want.shape
    assert relative_error(got, want) < 3e-6


def test_small_and_large_products_part_where_the_module_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right = drawn(8, 4), drawn(4, 4)
    assert not is_for_onednn(left, right)
    monkeypatch.setattr(linear_module, "MIN_MULTIPLICATIONS", 8 * 4 * 4)
    assert is_for_onednn(left, right) == has_onednn()
