"""Adapters of peft, on any base: what is merged here is what peft merges."""

import json
import shutil
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_config, small_model
from safetensors.torch import load_file, save_file
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint import LoadedModel, ModelInfo, load_model, save_pretrained
from dialoom.checkpoint.convert import Format, export_model
from dialoom.errors import CheckpointError
from dialoom.model import DiaModel, Revision

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft's, about transformers


def _adapter(path: Path, base: Path, **options: Any) -> tuple[Path, dict[str, torch.Tensor]]:
    """An adapter that transformers' users would train, and the weights that peft merges."""
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "gate_up_proj"], **options
    )
    model = peft.get_peft_model(DiaForConditionalGeneration.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(str(path))
    return path, model.merge_and_unload().state_dict()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_pretrained(small_model(), ModelInfo(), tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"v_proj": 3}, "rank_pattern": {"q_proj": 2}},
        {"modules_to_save": ["logits_dense"]},
        {"use_dora": True, "use_rslora": True},
    ],
    ids=["plain", "rslora", "patterns", "whole head", "dora"],
)
def test_merged_as_peft_merges(tmp_path: Path, base: Path, options: dict[str, Any]) -> None:
    path, expected = _adapter(tmp_path / "adapter", base, **options)
    before = small_model().state_dict()
    merged = load_model(path).model.state_dict()
    assert merged.keys() == expected.keys()
    changed = [name for name in merged if not torch.equal(merged[name], before[name])]
    assert len(changed) == 16 + (1 if "modules_to_save" in options else 0)
    for name, tensor in expected.items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-6, atol=1e-6)


def test_onto_a_native_april_base(tmp_path: Path, base: Path) -> None:
    """The adapter does not say the revision; its base does."""
    path, expected = _adapter(tmp_path / "adapter", base)
    april = LoadedModel(small_model(Revision.APRIL_2025), ModelInfo())
    export_model(april, tmp_path / "april", to=Format.NARI)
    _set(path, base_model_name_or_path=str(tmp_path / "april"))
    model = load_model(path).model
    assert model.config == small_config(Revision.APRIL_2025)
    name = "model.encoder.layers.0.mlp.gate_up_proj.weight"
    torch.testing.assert_close(model.state_dict()[name], expected[name], rtol=1e-6, atol=1e-6)


def _set(path: Path, **changes: Any) -> None:
    file = path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_adapter_for_another_width(tmp_path: Path, base: Path) -> None:
    path, _ = _adapter(tmp_path / "adapter", base)
    config = small_config()
    wide = DiaModel(replace(config, decoder=replace(config.decoder, hidden_size=80)))
    save_pretrained(wide, ModelInfo(), tmp_path / "wide")
    _set(path, base_model_name_or_path=str(tmp_path / "wide"))
    with pytest.raises(CheckpointError, match=r"^[^\n]*trained on a model of another width[^\n]*$"):
        load_model(path)
    deep = DiaModel(replace(config, encoder=replace(config.encoder, num_hidden_layers=1)))
    save_pretrained(deep, ModelInfo(), tmp_path / "deep")
    _set(path, base_model_name_or_path=str(tmp_path / "deep"))
    with pytest.raises(CheckpointError, match=r"the base has no .*encoder\.layers\.1"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": "gone"}, "no model at gone"),
        ({"peft_type": "IA3"}, "an adapter of type 'IA3'"),
        ({"base_model_name_or_path": 5}, "names no base model"),
        ({"use_dora": True}, "lora_magnitude_vector is missing"),
        ({"use_qalora": True}, "an adapter with use_qalora"),
        ({"lora_bias": True}, "an adapter with lora_bias"),
        ({"layer_replication": [[0, 2]]}, "an adapter with layer_replication"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa', which also changes the base"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which also changes"),
        ({"init_lora_weights": "olora"}, "'olora', which also changes"),
        ({"init_lora_weights": "corda"}, "'corda', which also changes"),
        ({"init_lora_weights": "loftq"}, "'loftq', which also changes"),
        ({"init_lora_weights": "lora_ga"}, "'lora_ga', which also changes"),
        ({"init_lora_weights": "of tomorrow"}, "'of tomorrow', which also changes"),
        ({"init_lora_weights": ["gaussian"]}, "which also changes"),
        ({"lora_alpha": "x"}, "lora_alpha or alpha_pattern does not fit"),
        ({"alpha_pattern": ["q_proj"]}, "lora_alpha or alpha_pattern does not fit"),
        ({"alpha_pattern": {"(": 1}}, "lora_alpha or alpha_pattern does not fit"),
    ],
)
def test_adapters_that_are_refused(
    tmp_path: Path, base: Path, changes: dict[str, Any], message: str
) -> None:
    path, _ = _adapter(tmp_path / "adapter", base)
    _set(path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("init", [True, False, None, "gaussian", "eva", "orthogonal"])
def test_inits_that_leave_the_base_alone(tmp_path: Path, base: Path, init: object) -> None:
    path, expected = _adapter(tmp_path / "adapter", base)
    _set(path, init_lora_weights=init)
    name = "model.encoder.layers.0.mlp.gate_up_proj.weight"
    merged = load_model(path).model.state_dict()[name]
    torch.testing.assert_close(merged, expected[name], rtol=1e-6, atol=1e-6)


def test_local_base_with_a_revision(tmp_path: Path, base: Path) -> None:
    """peft writes `revision` whatever the base is; a directory has none."""
    path, _ = _adapter(tmp_path / "adapter", base)
    _set(path, revision="main")
    assert load_model(path).model.config == small_config()


def test_adapter_that_is_its_own_base(tmp_path: Path, base: Path) -> None:
    path, _ = _adapter(tmp_path / "adapter", base)
    other = shutil.copytree(path, tmp_path / "other")
    for name in (path, other):
        _set(path, base_model_name_or_path=str(name))
        _set(other, base_model_name_or_path=str(path))
        with pytest.raises(CheckpointError, match=r"adapter_config\.json: the base .* is this"):
            load_model(path)


def test_pickled_adapter_on_the_hub(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, expected = _adapter(tmp_path / "adapter", base)
    there = tmp_path / "hub"
    there.mkdir()
    torch.save(load_file(path / "adapter_model.safetensors"), there / "adapter_model.bin")
    shutil.copy(path / "adapter_config.json", there)
    here = tmp_path / "cache"

    def fetch(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        here.mkdir(exist_ok=True)
        for file in there.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, here)
        return str(here)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    name = "model.encoder.layers.0.mlp.gate_up_proj.weight"
    merged = load_model("someone/adapter").model.state_dict()[name]
    torch.testing.assert_close(merged, expected[name], rtol=1e-6, atol=1e-6)


def test_base_on_the_hub_of_a_revision_there(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        return str(base)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    path, _ = _adapter(tmp_path / "adapter", base)
    _set(path, base_model_name_or_path="someone/dia", revision="v2")
    load_model(path)
    assert asked == [("someone/dia", "v2")]


def test_norms_of_another_width(tmp_path: Path, base: Path) -> None:
    path, _ = _adapter(tmp_path / "adapter", base, use_dora=True)
    file = path / "adapter_model.safetensors"
    state = load_file(file)
    name = next(name for name in state if "magnitude" in name)
    save_file({**state, name: torch.ones(3)}, file)
    with pytest.raises(CheckpointError, match=r"lora_magnitude_vector has 3 norms for \d+ rows"):
        load_model(path)


def test_half_an_adapter(tmp_path: Path, base: Path) -> None:
    path, _ = _adapter(tmp_path / "adapter", base)
    file = path / "adapter_model.safetensors"
    state = load_file(file)
    name = next(name for name in state if "lora_B" in name)
    save_file({n: t for n, t in state.items() if n != name}, file)
    with pytest.raises(CheckpointError, match=r"lora_B\.weight is missing"):
        load_model(path)
    save_file({**state, f"{name}.magnitude": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match="is no LoRA of a linear map"):
        load_model(path)
    file.unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        load_model(path)
