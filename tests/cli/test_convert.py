"""`dialoom convert`: every way there and back, the probe that finds a revision, the card."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import small_config, small_model
from safetensors.torch import load_file, save_file
from tiny_run import SPEC

from dialoom.audio import read_audio
from dialoom.checkpoint import ModelInfo, load_model, save_pretrained
from dialoom.checkpoint.nari_weights import to_nari_weights
from dialoom.checkpoint.revision_probe import probe_revision
from dialoom.cli.main import main
from dialoom.codec import Codes, load_codec
from dialoom.data import Clip, collate
from dialoom.errors import CheckpointError
from dialoom.loss import channel_loss
from dialoom.model import DiaModel, Revision
from dialoom.text import TagTable

TEXT = "[S1] A short clip."


@pytest.fixture
def convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command in an empty directory: its status and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["dialoom", "convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        output = capsys.readouterr()
        return int(caught.value.code or 0), output.out + output.err

    return run


Convert = Callable[..., tuple[int, str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_pretrained(small_model(), ModelInfo(codec=SPEC), tmp_path / "model")
    return tmp_path / "model"


def _april(path: Path) -> Path:
    save_pretrained(small_model(Revision.APRIL_2025), ModelInfo(), path)
    return path


def test_there_and_back_bit_for_bit(convert: Convert, model: Path) -> None:
    status, said = convert(model, "nari", "--to", "nari")
    assert status == 0
    assert said.startswith("nari: nari, revision 0626\nconvert: ")
    assert convert("nari", "back", "--to", "transformers")[0] == 0
    for name in ("model.safetensors", "config.json", "dialoom.json", "tokenizer_config.json"):
        assert Path("back", name).read_bytes() == (model / name).read_bytes(), name
    assert not list(Path().glob(".*"))


@pytest.mark.parametrize("revision", list(Revision))
def test_speaks_the_same_from_every_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, convert: Convert, revision: Revision
) -> None:
    save_pretrained(small_model(revision), ModelInfo(codec=SPEC), Path("ours"))
    assert convert("ours", "nari", "--to", "nari")[0] == 0
    said = []
    for source, extra in (("ours", []), ("nari", []), ("nari/dia-v0_1.pth", [revision])):
        arguments = [source, TEXT, "--temperature", "0", "--max-seconds", "0.3"]
        arguments += ["--save-codes", "codes.npy"] + (["--revision", *extra] if extra else [])
        arguments += ["--codec", "mini"] if extra else []
        monkeypatch.setattr(sys, "argv", ["dialoom", "speak", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert not caught.value.code
        said.append(np.load("codes.npy"))
    assert said[0].shape[0] > 5
    assert all(np.array_equal(codes, said[0]) for codes in said)


def test_april_goes_to_nari_and_not_to_transformers(convert: Convert, tmp_path: Path) -> None:
    _april(tmp_path / "april")
    status, said = convert("april", "out", "--to", "transformers")
    assert status == 2
    assert "cannot go to transformers" in said
    assert "does not rotate cross-attention" in said
    assert not Path("out").exists()
    assert "out: nari, revision 2025-04\n" in convert("april", "out", "--to", "nari")[1]
    assert set(json.loads(Path("out/config.json").read_text())) == {
        "version", "model", "training", "data",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_types(convert: Convert, model: Path, dtype: str) -> None:
    from transformers import DiaForConditionalGeneration

    assert convert(model, "out", "--to", "transformers", "--dtype", dtype)[0] == 0
    theirs = DiaForConditionalGeneration.from_pretrained("out", dtype="auto")
    expected = small_model().to(getattr(torch, dtype)).state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in theirs.named_parameters())


def test_values_beyond_float16_are_refused(convert: Convert, tmp_path: Path) -> None:
    large = small_model()
    large.logits_dense.weight.data[0, 0] = 1e6
    save_pretrained(large, ModelInfo(), tmp_path / "large")
    status, said = convert("large", "out", "--to", "nari", "--dtype", "float16")
    assert status == 2
    assert "logits_dense.weight has values that float16 cannot hold" in said
    assert not Path("out").exists()


def test_refusals_are_one_line(convert: Convert, model: Path) -> None:
    torch.save(to_nari_weights(small_model().state_dict(), small_config()), "bare.pth")
    Path("there").mkdir()
    cases = [
        ([model, "out", "--to", "gguf"], "--to gguf: take transformers, nari or adapter"),
        ([model, "out", "--to", "nari", "--dtype", "int8"], "--dtype int8: take float32"),
        ([model, "there", "--to", "nari"], "there exists already"),
        ([model, "out", "--to", "nari", "--revision", "2025-04"], "you say 2025-04"),
        ([model, "out", "--to", "nari", "--revision", "x"], "revision 'x' is unknown"),
        ([model, "out", "--to", "adapter"], "is no adapter, it has no adapter_config.json"),
        (["bare.pth", "out", "--to", "adapter"], "is no adapter"),
        ([model, "out", "--to", "adapter", "--revision", "0626"], "an adapter has none"),
        (["bare.pth", "out", "--to", "nari"], "--revision 0626 (Dia-1.6B-0626"),
        (["bare.pth", "out", "--to", "nari", "--revision", "auto"], "give --probe and"),
    ]
    for arguments, message in cases:
        status, said = convert(*arguments)
        assert status == 2
        assert message in said
        assert said.count("\n") == 1
    assert not Path("out").exists()


def _learn(model: DiaModel, codes: Codes) -> DiaModel:
    """A few steps on one clip by a model that hangs on cross-attention, as a trained one does."""
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.cross_attention.q_proj.weight.mul_(3)
            layer.cross_attention.o_proj.weight.mul_(10)
    batch = collate(
        [Clip("a", TEXT, None, None, codes)], layout=model.config.layout,
        tags=TagTable.default(), frames_per_second=86.0,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        logits = model(batch.text_BS, batch.audio_BTC)
        sums = channel_loss(logits, batch.targets_BTC, eos_id=1024)
        optimizer.zero_grad()
        (sums.weighted / batch.num_targets).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("revision", list(Revision))
def test_probe_finds_the_revision(convert: Convert, tmp_path: Path, revision: Revision) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 22_050)
    soundfile.write(tmp_path / "clip.wav", noise, 44_100)
    codes = load_codec("mini").encode(read_audio(tmp_path / "clip.wav"))
    learned = _learn(small_model(revision).train(), codes)
    torch.save(to_nari_weights(learned.state_dict(), small_config()), "bare.pth")
    status, said = convert(
        "bare.pth", "out", "--to", "nari", "--revision", "auto", "--codec", "mini",
        "--probe", "clip.wav", "--probe-text", TEXT,
    )  # fmt: skip
    assert status == 0, said
    assert f"it is {revision}, better by" in said
    assert load_model("out").model.config == small_config(revision)


def test_probe_that_does_not_decide(tmp_path: Path) -> None:
    theirs = to_nari_weights(small_model().state_dict(), small_config())
    theirs["decoder.logits_dense.weight"] *= 1e-3  # knows nothing: ln 1028 either way
    torch.save(theirs, tmp_path / "bare.pth")
    codes = Codes(np.random.default_rng(0).integers(0, 1024, (20, 9)).astype(np.uint16))
    with pytest.raises(CheckpointError, match="the clip does not tell the revision"):
        probe_revision(str(tmp_path / "bare.pth"), codes, TEXT)


def test_probe_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """float16 holds these weights, and not the scores that attention makes of them."""
    monkeypatch.setattr("dialoom.checkpoint.revision_probe.MIN_MARGIN", 0.0)
    model = small_model()
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.cross_attention.q_proj.weight.mul_(2000)
            layer.cross_attention.k_proj.weight.mul_(2000)
    codes = Codes(np.random.default_rng(0).integers(0, 1024, (20, 9)).astype(np.uint16))
    half = to_nari_weights(model.half().state_dict(), small_config())
    torch.save(half, tmp_path / "half.pth")
    torch.save({name: tensor.float() for name, tensor in half.items()}, tmp_path / "wide.pth")
    loaded, verdict = probe_revision(str(tmp_path / "half.pth"), codes, TEXT)
    assert verdict == probe_revision(str(tmp_path / "wide.pth"), codes, TEXT)[1]
    assert all(np.isfinite(loss) for loss in verdict.losses.values())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float16}


def test_auto_asks_no_clip_where_the_source_says_it(convert: Convert, model: Path) -> None:
    assert convert(model, "out", "--to", "nari", "--revision", "auto")[0] == 0


def test_says_each_stage_on_standard_error(
    convert: Convert, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the full size every one of them takes its time."""
    _, said = convert(model, "out", "--to", "nari", "--dtype", "bfloat16")
    assert said.splitlines() == [
        "out: nari, revision 0626",
        f"convert: {model} is read, 1.3 M parameters",
        "convert: to bfloat16",
        "convert: to nari's kernels",
        "convert: writing model.safetensors, 0.00 GB",
        "convert: writing dia-v0_1.pth, 0.00 GB",
        "convert: to disk",
    ]


def test_licence_of_the_data(convert: Convert, model: Path) -> None:
    for spelling in ("--licence", "--license"):
        assert convert(model, spelling[2:], "--to", "nari", spelling, "CC0-1.0")[0] == 0
        assert "- licence of the data: CC0-1.0\n" in Path(spelling[2:], "README.md").read_text()


def test_adapter_alone(convert: Convert) -> None:
    """Its base lies on the Hub and is not fetched."""
    Path("lora").mkdir()
    config = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": "nari-labs/Dia-1.6B-0626"}
    Path("lora/adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.encoder.layers.0.self_attention.q_proj.lora_{}.weight"
    state = {name.format("A"): torch.ones(2, 4), name.format("B"): torch.ones(4, 2)}
    save_file(state, "lora/adapter_model.safetensors")
    options = ("--to", "adapter", "--dtype", "bfloat16", "--licence", "CC0-1.0")
    assert convert("lora", "out", *options) == (0, "out: adapter\n")
    written = load_file("out/adapter_model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    assert "- licence of the data: CC0-1.0\n" in Path("out/README.md").read_text()
    assert convert("lora", "out", *options)[0] == 2


def test_full_disk_leaves_nothing(
    convert: Convert, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dialoom.checkpoint.convert.save_tensors", fill_disk)
    status, said = convert(model, "out", "--to", "nari")
    assert status == 2
    assert "out cannot be written: free space on its disk" in said
    assert "No space left on device" in said
    assert sorted(path.name for path in Path().iterdir()) == ["model"]
