"""A codec is found by its name, or the choices are named."""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch
from transformers import DacConfig, DacModel

from dialoom.codec import load_codec
from dialoom.codec.dac import DacCodec
from dialoom.codec.load import check_device
from dialoom.codec.mini import WEIGHTS_NAME, MiniCodec
from dialoom.errors import CodecError


def test_a_directory_says_what_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = DacConfig(encoder_hidden_size=2, decoder_hidden_size=16, n_codebooks=2, codebook_dim=2)
    DacModel(config).save_pretrained(tmp_path)
    codec = load_codec(str(tmp_path))
    assert isinstance(codec, DacCodec)
    assert codec.spec.name == str(tmp_path)


def test_the_bundled_codec_by_name_and_by_file(tmp_path: Path) -> None:
    bundled = load_codec("mini")
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(resources.files("dialoom.codec").joinpath(WEIGHTS_NAME).read_bytes())
    assert isinstance(bundled, MiniCodec)
    assert load_codec(str(copy)).spec == bundled.spec, "the same weights, wherever they lie"


def test_other_weights_are_named_by_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_codec(spec.name)` gives the codec that made the codes, from any working directory."""
    weights = resources.files("dialoom.codec").joinpath(WEIGHTS_NAME).read_bytes()
    (tmp_path / "mine.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    monkeypatch.chdir(tmp_path)
    spec = load_codec("mine.safetensors").spec
    assert spec.name == str(tmp_path / "mine.safetensors")
    monkeypatch.chdir("/")
    assert load_codec(spec.name).spec == spec


def test_a_relative_directory_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DacConfig(encoder_hidden_size=2, decoder_hidden_size=16, n_codebooks=2, codebook_dim=2)
    DacModel(config).save_pretrained(tmp_path / "some/dac")
    monkeypatch.chdir(tmp_path)
    assert load_codec("some/dac").spec.name == str(tmp_path / "some/dac")


@pytest.mark.parametrize("device", ["foo", "cuda", "cuda:7", "", "meta"])
@pytest.mark.parametrize("name", ["mini", "dac"])
def test_a_device_that_is_not_there(
    name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    with pytest.raises(CodecError, match=f"device '{device}': .* choose one of cpu$") as caught:
        load_codec(name, device=device)
    assert "\n" not in str(caught.value)


def test_the_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = torch.device("cuda")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: found)
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    for device in ("cpu", "cuda", "cuda:1"):
        check_device(device)
    with pytest.raises(CodecError, match=r"'cuda:2': .* choose one of cpu, cuda, cuda:0, cuda:1"):
        check_device("cuda:2")


def test_unknown_names_get_the_choices() -> None:
    with pytest.raises(CodecError, match=r"codec 'dax' is unknown; choose 'mini', 'dac', 'mimi'"):
        load_codec("dax")


@pytest.mark.parametrize("config", [None, "{", "[]", json.dumps({"model_type": "encodec"})])
def test_a_directory_that_is_no_codec(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(CodecError, match=r"config\.json.*; choose 'mini'") as caught:
        load_codec(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["dac", "mimi", "someone/some-codec"])
def test_without_a_connection(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CodecError, match=r"the Hub did not give it .*; check the name") as caught:
        load_codec(name)
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_no_hub_id() -> None:
    with pytest.raises(CodecError, match="no such directory"):
        load_codec("/no/such/codec")


def test_importing_the_seam_imports_no_torch() -> None:
    code = "import sys, dialoom.codec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
