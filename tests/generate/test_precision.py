"""In which numbers a model speaks."""

import sys
from pathlib import Path

import pytest
import torch
from helpers import small_model

from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.errors import GenerationError
from dialoom.generate import Precision, SamplingSettings, Synthesizer
from dialoom.generate.decode import Request
from dialoom.generate.precision import quantizer
from dialoom.model.projection import Projection

GREEDY = SamplingSettings(temperature=0, cfg_scale=3.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("precision") / "model"
    save_pretrained(small_model(), ModelInfo(), path)
    return path


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_model_is_loaded_and_speaks_in_it(directory: Path, precision: str) -> None:
    synthesizer = Synthesizer.load(directory, precision=precision)
    assert synthesizer.decoder.dtype is getattr(torch, precision)
    request = Request([1, 65, 66])
    alone = synthesizer.generate([request], GREEDY, max_frames=6)[0].codes
    together = synthesizer.generate([request, Request([1, 70])], GREEDY, max_frames=6)[0].codes
    assert alone.shape == (6, 9)
    assert torch.equal(alone, together)


def test_int8_rounds_matrices_a_little(directory: Path) -> None:
    pytest.importorskip("torchao")
    quantize = quantizer(Precision.INT8, torch.device("cpu"))
    assert quantize is not None
    torch.manual_seed(0)
    weight, x = torch.randn(64, 32), torch.randn(3, 32)
    exact, rounded = Projection(weight)(x), Projection(weight, quantize)(x)
    assert 1e-4 < (exact - rounded).norm() / exact.norm() < 0.02


def test_int8_speaks(directory: Path) -> None:
    pytest.importorskip("torchao")
    synthesizer = Synthesizer.load(directory, precision="int8")
    plain = Synthesizer.load(directory, precision="bfloat16")
    requests = [Request([1, 65, 66]), Request([1, 70])]
    alone = synthesizer.generate(requests[:1], GREEDY, max_frames=6)[0].codes
    together = synthesizer.generate(requests, GREEDY, max_frames=6)[0].codes
    assert torch.equal(alone, together)
    same = alone == plain.generate(requests[:1], GREEDY, max_frames=6)[0].codes
    assert same.float().mean() > 0.3, "rounding changes some ids of random weights, not all"


def test_unknown_precision_is_refused(directory: Path) -> None:
    with pytest.raises(GenerationError, match="precision 'fp8' is unknown: take float32"):
        Synthesizer.load(directory, precision="fp8")


def test_int4_is_refused_on_a_cpu(directory: Path) -> None:
    with pytest.raises(GenerationError, match=r"int4 needs a GPU: .* take int8"):
        Synthesizer.load(directory, precision="int4")


def test_missing_torchao_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(GenerationError, match=r"int8 needs torchao: pip install 'dialoom\[low-mem"):
        quantizer(Precision.INT8, torch.device("cpu"))
