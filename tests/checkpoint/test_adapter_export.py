"""An adapter that goes without its base: peft loads it onto transformers' Dia."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from helpers import small_model
from safetensors.torch import load_file, save_file
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint import ModelInfo, load_model, save_pretrained
from dialoom.checkpoint.adapter_export import export_adapter
from dialoom.errors import CheckpointError

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft's, about transformers


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    save_pretrained(small_model(), ModelInfo(), tmp_path / "base")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    base = DiaForConditionalGeneration.from_pretrained(tmp_path / "base")
    model = peft.get_peft_model(base, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@pytest.mark.parametrize("pickled", [False, True])
def test_peft_loads_what_is_written(tmp_path: Path, adapter: Path, pickled: bool) -> None:
    expected = load_file(adapter / "adapter_model.safetensors")
    if pickled:
        (adapter / "adapter_model.safetensors").unlink()
        torch.save(expected, adapter / "adapter_model.bin")
    export_adapter(str(adapter), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md",
    }  # fmt: skip
    written = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)
    base = DiaForConditionalGeneration.from_pretrained(tmp_path / "base")
    merged = peft.PeftModel.from_pretrained(base, str(tmp_path / "out")).merge_and_unload()
    ours = load_model(tmp_path / "out").model.state_dict()
    assert not torch.equal(
        ours["model.encoder.layers.0.self_attention.q_proj.weight"],
        small_model().state_dict()["model.encoder.layers.0.self_attention.q_proj.weight"],
    )
    for name, tensor in merged.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_types(tmp_path: Path, adapter: Path, dtype: str) -> None:
    export_adapter(str(adapter), tmp_path / "out", dtype=dtype)
    before = load_file(adapter / "adapter_model.safetensors")
    for name, tensor in load_file(tmp_path / "out" / "adapter_model.safetensors").items():
        assert torch.equal(tensor, before[name].to(getattr(torch, dtype)))
    assert f", {dtype} |" in (tmp_path / "out" / "README.md").read_text()


def test_base_need_not_be_there(tmp_path: Path, adapter: Path) -> None:
    """A few MB go from one machine to another; 6 GB need not be fetched for it."""
    file = adapter / "adapter_config.json"
    changes = {"base_model_name_or_path": "nari-labs/Dia-1.6B-0626", "revision": "main"}
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    export_adapter(str(adapter), tmp_path / "out")
    assert json.loads((tmp_path / "out" / file.name).read_text()) == json.loads(file.read_text())
    text = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1]) == {
        "library_name": "peft", "pipeline_tag": "text-to-speech",
        "tags": ["dia", "text-to-speech", "dialogue", "lora"], "license": "unknown",
        "base_model": "nari-labs/Dia-1.6B-0626",
    }  # fmt: skip
    assert "| rank, alpha | 4, 8 |" in text
    assert "| modules | q_proj, v_proj |" in text
    assert 'from_pretrained("nari-labs/Dia-1.6B-0626")' in text
    assert 'PeftModel.from_pretrained(base, "out")' in text


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_half_an_adapter(tmp_path: Path, adapter: Path, half: str) -> None:
    state = load_file(adapter / "adapter_model.safetensors")
    gone = next(name for name in state if half in name)
    save_file({n: t for n, t in state.items() if n != gone}, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{half}\.weight is missing"):
        export_adapter(str(adapter), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_values_beyond_float16(tmp_path: Path, adapter: Path) -> None:
    state = load_file(adapter / "adapter_model.safetensors")
    save_file({n: t * 1e6 for n, t in state.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="has values that float16 cannot hold"):
        export_adapter(str(adapter), tmp_path / "out", dtype="float16")


def test_what_is_no_adapter(tmp_path: Path, adapter: Path) -> None:
    with pytest.raises(CheckpointError, match=r"base is no adapter, it has no adapter_config"):
        export_adapter(str(tmp_path / "base"), tmp_path / "out")
    with pytest.raises(CheckpointError, match="exists already"):
        export_adapter(str(adapter), tmp_path / "base")


def test_full_disk_leaves_nothing(
    tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dialoom.checkpoint.adapter_export.save_tensors", fill_disk)
    with pytest.raises(CheckpointError, match="out cannot be written"):
        export_adapter(str(adapter), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "adapter"}
