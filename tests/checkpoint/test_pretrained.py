"""A checkpoint is a transformers directory, says what it is, and is refused if not whole."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_config, small_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_dac import save_tiny_dac
from tiny_run import SPEC
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    DacModel,
    DiaForConditionalGeneration,
)

from dialoom.checkpoint import ModelInfo, load_pretrained, save_pretrained
from dialoom.checkpoint.pretrained import config_from_json, config_to_json
from dialoom.codec.base import CodecSpec
from dialoom.errors import CheckpointError
from dialoom.model import PRESETS, DiaConfig, Revision
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable

INFO = ModelInfo(TagTable({"[S1]": 1, "[anna]": 20}), SPEC, recipe_hash="abc")


def _save(path: Path, revision: Revision = Revision.JUNE_2025) -> Path:
    save_pretrained(small_model(revision), INFO, path)
    return path


def _edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **changes}), encoding="utf-8")


def _edit_section(path: Path, section: str, **changes: Any) -> None:
    data = json.loads((path / "config.json").read_text(encoding="utf-8"))
    _edit(path / "config.json", **{section: {**data[section], **changes}})


@pytest.mark.parametrize("revision", list(Revision))
def test_load_is_the_inverse_of_save(tmp_path: Path, revision: Revision) -> None:
    loaded = load_pretrained(_save(tmp_path / "model", revision))
    assert loaded.info == INFO
    assert loaded.model.config == small_config(revision)
    expected = small_model(revision).state_dict()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_loaded_model_computes_and_trains(tmp_path: Path) -> None:
    """Built on the meta device: buffers that no file holds must be there all the same."""
    model = load_pretrained(_save(tmp_path / "model")).model
    text, audio = torch.ones(1, 3, dtype=torch.long), torch.zeros(1, 4, 9, dtype=torch.long)
    logits = model(text, audio)
    torch.testing.assert_close(logits, small_model()(text, audio))
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_transformers_loads_it_as_it_is(tmp_path: Path) -> None:
    theirs = DiaForConditionalGeneration.from_pretrained(_save(tmp_path / "model")).eval()
    text, audio = torch.randint(1, 256, (2, 9)), torch.randint(0, 1027, (2, 14, 9))
    logits = theirs(input_ids=text, decoder_input_ids=audio).logits
    expected = small_model()(text, audio)
    actual = logits.unflatten(0, (2, 9)).transpose(1, 2)
    assert (actual - expected).abs().max() / expected.abs().max() < 1e-5
    assert theirs.generation_config.guidance_scale == 3.0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("[S1] Hä")["input_ids"] == TagTable.default().encode("[S1] Hä")


@pytest.mark.filterwarnings("ignore")  # DAC's weight norm
def test_auto_processor_and_generate_as_dias_readme_has_them(tmp_path: Path) -> None:
    save_tiny_dac(tmp_path / "dac")
    spec = CodecSpec(str(tmp_path / "dac"), "0" * 64, 44_100, 512, 9, 1024)
    save_pretrained(small_model(), ModelInfo(codec=spec), tmp_path / "model")
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    inputs = processor(text=["[S1] Hello."], padding=True, return_tensors="pt")
    assert inputs["input_ids"].tolist() == [TagTable.default().encode("[S1] Hello.")]
    assert isinstance(processor.audio_tokenizer, DacModel)
    theirs = DiaForConditionalGeneration.from_pretrained(tmp_path / "model")
    spoken = processor.batch_decode(theirs.generate(**inputs, max_new_tokens=24))
    assert spoken[0].shape[-1] > 0
    assert spoken[0].shape[-1] % 512 == 0
    assert not (_save(tmp_path / "mini") / "processor_config.json").exists()


@pytest.mark.parametrize(
    ("name", "has_processor"),
    [
        (None, True),
        ("descript/dac_44khz", True),
        ("mini", False),
        ("kyutai/mimi", False),
        ("mini_dac.safetensors", False),
        ("someone/dac-or-not", False),
        ("gone/dac", False),
        ("half", False),
    ],
)
def test_processor_only_where_the_codec_is_a_dac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, has_processor: bool
) -> None:
    """By what the codec is: the name of a custom mini codec is the path of its file."""
    monkeypatch.chdir(tmp_path)
    Path("mini_dac.safetensors").touch()
    Path("half").mkdir()
    codec = None if name is None else CodecSpec(name, "0" * 64, 44_100, 512, 9, 1024)
    save_pretrained(small_model(), ModelInfo(codec=codec), Path("model"))
    for file in ("processor_config.json", "preprocessor_config.json"):
        assert Path("model", file).exists() == has_processor
    assert Path("model", "tokenizer_config.json").exists()


def test_transformers_refuses_an_april_model(tmp_path: Path) -> None:
    """It has the mathematics of 0626 alone: it must not load April's weights into them."""
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        DiaForConditionalGeneration.from_pretrained(_save(tmp_path / "m", Revision.APRIL_2025))


def test_directory_of_transformers_is_of_revision_0626(tmp_path: Path) -> None:
    theirs = DiaForConditionalGeneration.from_pretrained(_save(tmp_path / "model"))
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = load_pretrained(tmp_path / "theirs")
    assert loaded.model.config == small_config()
    assert loaded.info.codec is None


def test_checkpoint_without_revision_is_refused_with_both_choices(tmp_path: Path) -> None:
    path = _save(tmp_path / "model", Revision.APRIL_2025)
    (path / "dialoom.json").unlink()
    with pytest.raises(CheckpointError, match=r"--revision 0626 .* or --revision 2025-04"):
        load_pretrained(path)
    loaded = load_pretrained(path, revision=Revision.APRIL_2025)
    assert loaded.model.config.revision is Revision.APRIL_2025
    _save(path, Revision.APRIL_2025)
    _edit(path / "dialoom.json", revision=None)
    with pytest.raises(CheckpointError, match=r"--revision 0626 .* or --revision 2025-04"):
        load_pretrained(path)


def test_wrong_revision_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is of revision 0626, you say 2025-04") as caught:
        load_pretrained(path, revision=Revision.APRIL_2025)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="revision '0627' is unknown: take"):
        Revision.parse("0627")


def _drop_tensor(path: Path) -> None:
    state = load_file(path / "model.safetensors")
    del state["model.encoder.norm.weight"]
    save_file(state, path / "model.safetensors")


def _add_tensor(path: Path) -> None:
    state = load_file(path / "model.safetensors")
    save_file({**state, "lora": torch.zeros(1)}, path / "model.safetensors")


def _reshape_tensor(path: Path) -> None:
    state = load_file(path / "model.safetensors")
    state["logits_dense.weight"] = state["logits_dense.weight"][:-1]
    save_file(state, path / "model.safetensors")


def _truncate_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


DAMAGES = {
    "missing tensor": (_drop_tensor, r"1 tensors are missing \(first: model.encoder.norm.weight\)"),
    "extra tensor": (_add_tensor, r"1 are superfluous \(first: lora\)"),
    "shape": (_reshape_tensor, r"logits_dense.weight has shape \(9251, 64\), config.json asks"),
    "truncated": (_truncate_weights, "model.safetensors is damaged"),
    "no weights": (lambda p: (p / "model.safetensors").unlink(), "the model has no weights"),
    "no config": (lambda p: (p / "config.json").unlink(), "config.json is missing"),
    "half a config": (lambda p: (p / "config.json").write_text('{"model'), "is it half-written"),
    "llama": (lambda p: _edit(p / "config.json", model_type="llama"), "expected 'dia'"),
    "no decoder": (lambda p: _edit(p / "config.json", decoder_config={}), "no complete Dia"),
    "delays": (
        lambda p: _edit(p / "config.json", delay_pattern=[0, 1]),
        "2 delays for 9",
    ),
    "newer": (lambda p: _edit(p / "dialoom.json", format_version=2), "format_version is 2"),
    "tags": (lambda p: _edit(p / "dialoom.json", tags={"[a]": 65}), "belongs to text"),
    "codec": (lambda p: _edit(p / "dialoom.json", codec={"name": "x"}), "does not fit"),
    "rate": (
        lambda p: _edit(p / "dialoom.json", codec={**vars(SPEC), "sample_rate_hz": "x"}),
        r"dialoom\.json: codec\.sample_rate_hz is 'x', it must be a whole number",
    ),
    "tag list": (lambda p: _edit(p / "dialoom.json", tags=[]), r"dialoom\.json: tags is \[\]"),
    "no tags": (lambda p: _edit(p / "dialoom.json", tags=None), r"dialoom\.json: tags is None"),
    "text for a byte": (
        lambda p: _edit(p / "dialoom.json", tags={"[S1]": "1"}),
        r"dialoom\.json: tags is .*the byte of each tag",
    ),
    "tags share": (
        lambda p: _edit(p / "dialoom.json", tags={"[a]": 1, "[b]": 1}),
        r"dialoom\.json: tags \[a\] and \[b\] share byte 1",
    ),
    "revision": (
        lambda p: _edit(p / "dialoom.json", revision=[]),
        r"dialoom\.json: revision '\[\]' is unknown",
    ),
    "hash": (
        lambda p: _edit(p / "dialoom.json", recipe_hash=3),
        r"dialoom\.json: recipe_hash is 3",
    ),
    "rope": (
        lambda p: _edit_section(p, "decoder_config", rope_parameters="x"),
        r"model/config\.json: rope_parameters is 'x', it must be an object",
    ),
    "negative width": (
        lambda p: _edit_section(p, "decoder_config", hidden_size=-4),
        r"model/config\.json: hidden_size is -4, it must be a whole number from 1 to",
    ),
    "text for a width": (
        lambda p: _edit_section(p, "encoder_config", num_hidden_layers="x"),
        r"model/config\.json: num_hidden_layers is 'x', it must be a whole number",
    ),
    "heads": (
        lambda p: _edit_section(p, "decoder_config", num_key_value_heads=3),
        r"model/config\.json: decoder: \d+ query heads cannot share 3",
    ),
    "epsilon": (
        lambda p: _edit_section(p, "decoder_config", norm_eps="x"),
        r"model/config\.json: norm_eps is 'x', it must be a number above 0",
    ),
    "no section": (
        lambda p: _edit(p / "config.json", encoder_config="x"),
        r"model/config\.json: encoder_config is 'x', it must be an object",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = _save(tmp_path / "model")
    harm, message = DAMAGES[damage]
    harm(path)
    with pytest.raises(Exception, match=message) as caught:
        load_pretrained(path)
    assert "\n" not in str(caught.value)
    assert type(caught.value).__module__ == "dialoom.errors"


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model at"):
        load_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_others_read_what_the_umask_lets_them(tmp_path: Path, umask: int) -> None:
    """safetensors alone writes for its user only."""
    old = os.umask(umask)
    try:
        _save(tmp_path / "model")
    finally:
        os.umask(old)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "model").iterdir()}
    assert modes.keys() >= {"model.safetensors", "config.json"}
    assert set(modes.values()) == {0o666 & ~umask}, modes


def test_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    old = _save(tmp_path / "model")
    monkeypatch.setattr("dialoom.checkpoint.pretrained.save_tensors", fill_disk)
    for name in ("model", "new"):
        with pytest.raises(CheckpointError, match=f"{name} cannot be written: free space .*No sp"):
            _save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert load_pretrained(old).info == INFO


@given(
    pattern=st.lists(st.integers(0, 20), max_size=8).map(lambda delays: (0, *delays)),
    codebook_size=st.integers(1, 2000),
    revision=st.sampled_from(list(Revision)),
)
def test_config_survives_json(
    pattern: tuple[int, ...], codebook_size: int, revision: Revision
) -> None:
    layout = TokenLayout(
        pattern, codebook_size, codebook_size, codebook_size + 1, codebook_size + 2, 2004
    )
    config = DiaConfig(layout=layout, revision=revision)
    data = json.loads(json.dumps(config_to_json(config)))
    assert config_from_json(data, revision=revision) == config


def test_presets_survive_json() -> None:
    for config in PRESETS.values():
        assert config_from_json(config_to_json(config), revision=config.revision) == config
