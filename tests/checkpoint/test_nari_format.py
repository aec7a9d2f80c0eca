"""nari's format and ours are two spellings of one model: every tensor comes back bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from helpers import small_config, small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoom.checkpoint import LoadedModel, ModelInfo, load_model, save_pretrained
from dialoom.checkpoint.convert import Format, export_model
from dialoom.checkpoint.load import find_weights
from dialoom.checkpoint.nari_config import (
    from_april_config,
    is_april_schema,
    to_nari_config,
)
from dialoom.checkpoint.nari_weights import (
    from_nari_weights,
    is_nari,
    model_shapes,
    nari_shapes,
    to_nari_weights,
)
from dialoom.checkpoint.tensor_files import open_weights
from dialoom.checkpoint.transformers_config import (
    from_transformers_config,
    to_transformers_config,
)
from dialoom.errors import CheckpointError
from dialoom.model import PRESETS, DecoderConfig, DiaConfig, EncoderConfig, Revision
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable

_size, _count = st.integers(1, 5), st.integers(1, 3)


@st.composite
def configs(draw: st.DrawFn) -> DiaConfig:
    """Shapes in which hardly two sizes are equal, so that no axis stands in for another."""
    kv_heads, cross_heads, heads = draw(_count), draw(_count), draw(_count)
    revision = draw(st.sampled_from(list(Revision)))
    april = revision is Revision.APRIL_2025
    codebook_size = draw(st.integers(1, 9))
    return DiaConfig(
        encoder=EncoderConfig(
            draw(_count), draw(_size) * 3, heads * (1 if april else 2), heads, draw(_size) * 2,
            draw(_size) * 5, draw(_count) * 128, draw(st.integers(1, 256)),
        ),
        decoder=DecoderConfig(
            draw(_count), draw(_size) * 7, kv_heads * draw(_count), kv_heads, draw(_size) * 2,
            cross_heads * (1 if april else 2), cross_heads, draw(_size) * 4, draw(_size) * 11,
            draw(_count) * 128,
        ),
        layout=TokenLayout(
            (0, *draw(st.lists(st.integers(0, 20), max_size=4))),
            codebook_size, codebook_size, codebook_size + 1, codebook_size + 2, codebook_size + 4,
        ),
        revision=revision,
        norm_eps=draw(st.sampled_from([1e-5, 1e-6])),
        rope_theta=draw(st.sampled_from([1e4, 5e5])),
    )  # fmt: skip


@given(config=configs())
@settings(max_examples=30)
def test_weights_there_and_back(config: DiaConfig) -> None:
    ours = {name: torch.randn(shape) for name, shape in model_shapes(config).items()}
    theirs = to_nari_weights(ours, config)
    assert {name: tuple(tensor.shape) for name, tensor in theirs.items()} == nari_shapes(config)
    assert is_nari(theirs)
    assert not is_nari(ours)
    back = from_nari_weights(theirs, config)
    assert list(back) == list(ours)
    assert all(torch.equal(back[name], ours[name]) for name in ours)
    again = to_nari_weights(back, config)
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)


@given(config=configs())
def test_configs_there_and_back(config: DiaConfig) -> None:
    data = json.loads(json.dumps(to_nari_config(config)))
    if config.revision is Revision.APRIL_2025:
        assert is_april_schema(data)
        assert from_april_config(data, revision=config.revision) == config
    else:
        assert not is_april_schema(data)
        assert from_transformers_config(data, revision=config.revision) == config


@torch.no_grad()
def test_kernels_multiply_as_in_nari() -> None:
    """Input axes first, heads apart, gate before up: a swap that undoes itself would show here."""
    model, config = small_model(), small_config()
    theirs = to_nari_weights(model.state_dict(), config)
    layer, prefix = model.decoder.layers[1], "decoder.layers.1."
    x = torch.randn(5, config.decoder.hidden_size)
    queries = torch.tensordot(x, theirs[prefix + "self_attention.q_proj.weight"], 1)
    ours = layer.self_attention.q_proj(x).unflatten(-1, (-1, config.decoder.head_dim))
    torch.testing.assert_close(queries, ours)
    heads = torch.randn(5, config.decoder.num_attention_heads, config.decoder.head_dim)
    out = torch.tensordot(heads, theirs[prefix + "self_attention.o_proj.weight"], 2)
    torch.testing.assert_close(out, layer.self_attention.o_proj(heads.flatten(1)))
    both = torch.tensordot(x, theirs[prefix + "mlp.wi_fused.weight"], 1)
    hidden = torch.nn.functional.silu(both[:, 0]) * both[:, 1]
    fed = torch.tensordot(hidden, theirs[prefix + "mlp.wo.weight"], 1)
    torch.testing.assert_close(fed, layer.mlp(x))
    logits = torch.tensordot(x, theirs["decoder.logits_dense.weight"], 1)
    torch.testing.assert_close(logits, model.head(x[None])[0])
    ids = torch.randint(0, 1028, (1, 5, 9))
    tables = [theirs[f"decoder.embeddings.{c}.weight"] for c in range(9)]
    summed = sum(table[ids[0, :, c]] for c, table in enumerate(tables))
    torch.testing.assert_close(summed, model.decoder.embeddings(ids)[0])


def test_published_config_of_april() -> None:
    """config.json of nari-labs/Dia-1.6B, as it stands on the Hub."""
    encoder = {"head_dim": 128, "n_embd": 1024, "n_head": 16, "n_hidden": 4096, "n_layer": 12}
    decoder = {
        "cross_head_dim": 128, "cross_query_heads": 16, "gqa_head_dim": 128, "gqa_query_heads": 16,
        "kv_heads": 4, "n_embd": 2048, "n_hidden": 8192, "n_layer": 18,
    }  # fmt: skip
    rest = {
        "dropout": 0.0, "normalization_layer_epsilon": 1e-05, "rope_max_timescale": 10000,
        "rope_min_timescale": 1, "src_vocab_size": 256, "tgt_vocab_size": 1028,
        "weight_dtype": "float32",
    }  # fmt: skip
    data = {
        "audio_bos_value": 1026, "audio_eos_value": 1024, "audio_length": 3072,
        "audio_pad_value": 1025, "channels": 9, "text_length": 1024, "text_pad_value": 0,
        "delay_pattern": [0, 8, 9, 10, 11, 12, 13, 14, 15],
    }  # fmt: skip
    published = {
        "version": "0.1", "training": {}, "data": data,
        "model": {"encoder": encoder, "decoder": decoder, **rest},
    }  # fmt: skip
    assert is_april_schema(published)
    expected = replace(PRESETS["dia-1.6b"], revision=Revision.APRIL_2025)
    assert from_april_config(published, revision=Revision.APRIL_2025) == expected


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("model", {"encoder": {}}, "no complete Dia configuration"),
        ("model", {"rope_min_timescale": 2}, "rope_min_timescale is 2, Dia has 1"),
        ("data", {"delay_pattern": [1, 2]}, "the first is 0"),
        ("data", {"text_length": None}, "text_length is None, it must be a whole number"),
        ("data", {"channels": 9, "delay_pattern": "0"}, "delay_pattern is '0', it must be a list"),
        ("model", {"encoder": "x"}, "encoder is 'x', it must be an object"),
        ("model", {"tgt_vocab_size": 2.5}, "tgt_vocab_size is 2.5, it must be a whole number"),
    ],
)
def test_april_configs_that_are_refused(
    section: str, changes: dict[str, object], message: str
) -> None:
    data = to_nari_config(small_config(Revision.APRIL_2025))
    data[section] |= changes
    with pytest.raises(CheckpointError, match=message):
        from_april_config(data, revision=Revision.APRIL_2025)


def test_dia_1_6b_has_the_343_tensors_of_the_release() -> None:
    shapes = nari_shapes(PRESETS["dia-1.6b"])
    assert len(shapes) == 343
    assert shapes["decoder.layers.17.self_attention.k_proj.weight"] == (2048, 4, 128)
    assert shapes["decoder.layers.0.cross_attention.v_proj.weight"] == (1024, 16, 128)
    assert shapes["encoder.layers.11.self_attention.o_proj.weight"] == (16, 128, 1024)
    assert shapes["encoder.layers.0.mlp.wi_fused.weight"] == (1024, 2, 4096)
    assert shapes["decoder.logits_dense.weight"] == (2048, 9, 1028)
    assert shapes["decoder.embeddings.8.weight"] == (1028, 2048)


@pytest.mark.parametrize("revision", list(Revision))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_from_ours_to_nari_to_transformers_and_back(
    tmp_path: Path, revision: Revision, dtype: torch.dtype
) -> None:
    info = ModelInfo(TagTable({"[S1]": 1, "[anna]": 20}))
    model = small_model(revision).to(dtype)
    export_model(LoadedModel(model, info), tmp_path / "nari", to=Format.NARI)
    loaded = load_model(tmp_path / "nari")
    save_pretrained(loaded.model, loaded.info, tmp_path / "ours")
    back = load_model(tmp_path / "ours")
    assert back.model.config == small_config(revision)
    assert back.info == info
    expected = small_model(revision).to(dtype).state_dict()
    for name, tensor in back.model.state_dict().items():
        assert tensor.dtype is dtype
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("revision", list(Revision))
def test_native_directory_says_its_revision_by_its_schema(
    tmp_path: Path, revision: Revision
) -> None:
    """As published: no dialoom.json; the April release also as a .pth alone."""
    path = tmp_path / "nari"
    export_model(LoadedModel(small_model(revision), ModelInfo()), path, to=Format.NARI)
    (path / "dialoom.json").unlink()
    loaded = load_model(path)
    assert loaded.model.config == small_config(revision)
    (path / "model.safetensors").unlink()
    assert find_weights(path, revision).name == "dia-v0_1.pth"
    from_pickle = load_model(path).model.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, from_pickle[name]), name
    other = next(r for r in Revision if r is not revision)
    with pytest.raises(CheckpointError, match=f"of revision {revision}, you say {other}"):
        load_model(path, revision=other)


@pytest.mark.parametrize("name", ["AutoModel", "DiaModel", "DiaForConditionalGeneration"])
def test_transformers_refuses_a_native_directory(tmp_path: Path, name: str) -> None:
    """nari's loader wants the file names of transformers: that must not start random weights."""
    export_model(LoadedModel(small_model(), ModelInfo()), tmp_path / "nari", to=Format.NARI)
    with pytest.raises(RuntimeError, match="mismatch"):
        getattr(transformers, name).from_pretrained(tmp_path / "nari")


def test_transformers_refuses_a_native_april_directory(tmp_path: Path) -> None:
    april = LoadedModel(small_model(Revision.APRIL_2025), ModelInfo())
    export_model(april, tmp_path / "nari", to=Format.NARI)
    with pytest.raises(ValueError, match="model_type"):
        transformers.AutoModel.from_pretrained(tmp_path / "nari")
    config = transformers.DiaConfig.from_dict(to_transformers_config(small_config()))
    with pytest.raises(RuntimeError, match="mismatch"):
        transformers.DiaForConditionalGeneration.from_pretrained(tmp_path / "nari", config=config)


def test_norms_in_float32_beside_bfloat16(tmp_path: Path) -> None:
    """nari's code keeps them so; the model computes in one type all the same."""
    theirs = to_nari_weights(small_model().bfloat16().state_dict(), small_config())
    mixed = {n: t.float() if "norm" in n else t for n, t in theirs.items()}
    torch.save(mixed, tmp_path / "mixed.pth")
    model = load_model(tmp_path / "mixed.pth", revision="0626").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    text, audio = torch.ones(1, 3, dtype=torch.long), torch.zeros(1, 4, 9, dtype=torch.long)
    assert model(text, audio).isfinite().all()


def test_april_schema_cannot_say_every_shape() -> None:
    config = small_config(Revision.APRIL_2025)
    shared = replace(config.encoder, num_key_value_heads=1)
    with pytest.raises(CheckpointError, match="only decoder self-attention may share keys"):
        to_nari_config(replace(config, encoder=shared))


def test_file_names_its_tensors_before_it_reads_them(tmp_path: Path) -> None:
    theirs = to_nari_weights(small_model().state_dict(), small_config())
    torch.save({"state_dict": {f"module.{n}": t for n, t in theirs.items()}}, tmp_path / "a.pth")
    weights = open_weights(tmp_path / "a.pth")
    assert dict(weights.shapes) == nari_shapes(small_config())
    assert all(torch.equal(weights[name], theirs[name]) for name in weights)
