"""One entry for every MODEL; what is wrong with one is said in one line."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import small_config, small_model
from safetensors.torch import load_file, save_file

import dialoom
from dialoom.checkpoint import LoadedModel, ModelInfo, load_model, save_pretrained
from dialoom.checkpoint.convert import Format, export_model
from dialoom.checkpoint.infer import infer_config
from dialoom.checkpoint.nari_config import to_nari_config
from dialoom.checkpoint.nari_weights import model_shapes, nari_shapes, to_nari_weights
from dialoom.errors import CheckpointError
from dialoom.model import PRESETS, DiaModel, Revision
from dialoom.sequence import TokenLayout

BOTH = r"--revision 0626 .* or --revision 2025-04"


def _same(model: DiaModel, expected: DiaModel) -> bool:
    mine, theirs = model.state_dict(), expected.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    save_pretrained(small_model(), ModelInfo(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_bare_native_file_needs_its_revision_and_no_config(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"friend.{suffix}"
    theirs = to_nari_weights(small_model().state_dict(), small_config())
    torch.save(theirs, path) if suffix == "pth" else save_file(theirs, path)
    with pytest.raises(CheckpointError, match=BOTH):
        load_model(path)
    for revision in Revision:
        loaded = load_model(str(path), revision=revision)
        assert loaded.model.config == small_config(revision)
        assert _same(loaded.model, small_model())


def test_bare_file_with_transformers_names_needs_a_config_beside_it(directory: Path) -> None:
    path = directory / "model.safetensors"
    with pytest.raises(CheckpointError, match=BOTH):
        load_model(path)
    assert _same(load_model(path, revision="0626").model, small_model())
    (directory / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"put the config\.json of the model beside the file"):
        load_model(path, revision="0626")


@pytest.mark.parametrize("name", list(PRESETS))
def test_known_shapes_need_no_config(name: str) -> None:
    config = replace(PRESETS[name], revision=Revision.APRIL_2025)
    for shapes in (model_shapes(config), nari_shapes(config)):
        assert infer_config(shapes, Revision.APRIL_2025, where="x") == config


@pytest.mark.parametrize("revision", list(Revision))
def test_sharded_weights(
    tmp_path: Path, revision: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialoom.checkpoint.pretrained.MAX_SHARD_BYTES", 500_000)
    save_pretrained(small_model(revision), ModelInfo(), tmp_path / "model")
    shards = sorted(tmp_path.glob("model/*-of-*.safetensors"))
    assert len(shards) > 2
    assert not list(tmp_path.glob("model/model.safetensors"))
    assert _same(load_model(tmp_path / "model").model, small_model(revision))
    if revision is Revision.JUNE_2025:
        from transformers import DiaForConditionalGeneration

        theirs = DiaForConditionalGeneration.from_pretrained(tmp_path / "model")
        assert all(
            torch.equal(t, small_model().state_dict()[n]) for n, t in theirs.named_parameters()
        )
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=r"is missing: the model is not whole, copy it again"):
        load_model(tmp_path / "model")


def test_index_that_leads_elsewhere_is_refused(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory.parent / "x.safetensors")
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(CheckpointError, match="which is not beside it"):
        load_model(directory)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map"):
        load_model(directory)


def test_config_of_the_published_0626_with_its_ids_at_the_top(directory: Path) -> None:
    data = json.loads((directory / "config.json").read_text())
    for section in ("encoder_config", "decoder_config"):
        data[section].pop("rope_parameters")
        data[section] |= {"rope_theta": 10000.0, "rope_scaling": None}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        data[name] = data["decoder_config"].pop(name)
    (directory / "config.json").write_text(json.dumps(data))
    (directory / "dialoom.json").unlink()
    assert load_model(directory).model.config == small_config()
    data["decoder_config"]["rope_theta"] = 5e5
    (directory / "config.json").write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"10000\.0 in the encoder and 500000\.0 in"):
        load_model(directory)


def test_hub_id_is_fetched_as_safetensors_unless_there_are_none(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns[-1]))
        return str(directory)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert _same(load_model("someone/dia-of-mine@v2").model, small_model())
    assert asked == [("someone/dia-of-mine", "v2", "*.safetensors")]
    (directory / "model.safetensors").rename(directory / "model.x")
    with pytest.raises(CheckpointError, match="no weights"):
        load_model("someone/dia-of-mine")
    assert asked[1:] == [("someone/dia-of-mine", None, p) for p in ("*.safetensors", "*.pth")]


def test_what_the_hub_does_not_have_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="the Hub did not give it") as caught:
        load_model("nari-labs/Dia-1.6B-0626")
    assert "\n" not in str(caught.value)


def test_names_of_nothing() -> None:
    with pytest.raises(CheckpointError, match="no model at nowhere: give a directory"):
        load_model("nowhere")
    with pytest.raises(CheckpointError, match="no model at a/b"):
        load_model(Path("a/b"))


def test_mini_is_the_bundled_model_or_says_that_there_is_none() -> None:
    bundled = Path(dialoom.__file__).parent / "models" / "mini"
    if bundled.is_dir():
        assert load_model("mini").model.num_parameters > 1_000_000
    else:
        with pytest.raises(CheckpointError, match="'mini' is not bundled yet"):
            load_model("mini")


class _Code:
    """What a hostile pickle does when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def test_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Code()}, "a.pth")
    with pytest.raises(CheckpointError, match="holds code besides tensors"):
        load_model("a.pth", revision="0626")
    Path("b.pth").write_bytes(pickle.dumps({"a": _Code()}))
    with pytest.raises(CheckpointError, match=r"b\.pth"):
        load_model("b.pth", revision="0626")
    assert not Path("owned").exists()


@pytest.mark.parametrize("damage", ["truncated", "other", "empty", "unknown"])
def test_files_that_are_no_weights(tmp_path: Path, damage: str) -> None:
    path = tmp_path / ("weights.txt" if damage == "unknown" else "weights.pth")
    state = to_nari_weights(small_model().state_dict(), small_config())
    if damage == "other":
        state = {"bert.embeddings.weight": torch.ones(2)}
    torch.save({} if damage == "empty" else state, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    expected = {
        "truncated": "is damaged", "other": "no shape that is known by name",
        "empty": "holds no dictionary of tensors", "unknown": "is no file of weights",
    }[damage]  # fmt: skip
    with pytest.raises(CheckpointError, match=expected) as caught:
        load_model(path, revision="0626")
    assert "\n" not in str(caught.value)


def test_native_weights_that_do_not_fit_are_named_as_their_author_names_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "nari"
    export_model(LoadedModel(small_model(), ModelInfo()), path, to=Format.NARI)
    state = load_file(path / "model.safetensors")
    wrong = {**state, "decoder.layers.0.mlp.wo.weight": torch.zeros(3, 64)}
    save_file(wrong, path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"mlp\.wo\.weight has shape \(3, 64\), config"):
        load_model(path)
    del state["encoder.norm.weight"]
    save_file(state, path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 tensors are missing \(first: encoder.norm"):
        load_model(path)
    save_file({**state, "encoder.norm.weight": torch.ones(48).int()}, path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"is of type torch\.int32"):
        load_model(path)


def test_several_pickles_in_one_directory(tmp_path: Path) -> None:
    path = tmp_path / "nari"
    export_model(LoadedModel(small_model(), ModelInfo()), path, to=Format.NARI)
    (path / "model.safetensors").rename(path / "other.pth")
    with pytest.raises(CheckpointError, match=r"holds several \.pth files"):
        load_model(path)


def test_bare_weights_of_other_channels_need_their_config(tmp_path: Path) -> None:
    config = small_config(layout=TokenLayout((0, 3, 5)))
    state = to_nari_weights(DiaModel(config).state_dict(), config)
    save_file(state, tmp_path / "three.safetensors")
    with pytest.raises(CheckpointError, match=r"channels and ids \(3, 1028\) are not Dia's"):
        load_model(tmp_path / "three.safetensors", revision="0626")
    data = json.dumps(to_nari_config(config))
    (tmp_path / "config.json").write_text(data, encoding="utf-8")
    model = load_model(tmp_path / "three.safetensors", revision="0626").model
    assert model.config == config


@pytest.mark.filterwarnings("error")
def test_pickles_of_the_format_before_zip(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    state = to_nari_weights(small_model().state_dict(), small_config())
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert _same(load_model(path, revision="0626").model, small_model())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"old\.pth is damaged"):
        load_model(path, revision="0626")
    torch.save({"a": _Code()}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="holds code besides tensors"):
        load_model(path, revision="0626")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html></html>", "is a web page, not weights"),
        (b"<html lang=en>", "is a web page, not weights"),
        (b"garbage " * 99, "is damaged"),
        (b"", "is damaged"),
    ],
    ids=["lfs", "doctype", "html", "garbage", "empty"],
)
def test_what_stands_in_place_of_weights(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(tmp_path / name, revision="0626")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "_orig_mod.module.", "module.module."])
def test_prefixes_before_prefixes(tmp_path: Path, prefix: str) -> None:
    state = to_nari_weights(small_model().state_dict(), small_config())
    torch.save({f"{prefix}{name}": t for name, t in state.items()}, tmp_path / "a.pth")
    assert _same(load_model(tmp_path / "a.pth", revision="0626").model, small_model())
