"""Every way to train: what trains, what a checkpoint holds, and that resuming changes nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_model
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_run import tiny_recipe, weights
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint import load_model, load_training_state
from dialoom.errors import RecipeError
from dialoom.model import DiaModel
from dialoom.observe import read_metrics
from dialoom.recipe import Recipe, run_recipe
from dialoom.train import TrainSettings, prepare_model
from dialoom.train.average import WeightAverage
from dialoom.train.optimizer import adamw_8bit, build_optimizer


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchao compiles its step, which takes a minute here."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


peft_warns = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::UserWarning:torchao")

TEXT = torch.tensor([[1, 72, 101, 108, 108, 111]])
AUDIO = torch.randint(0, 1024, (1, 12, 9), generator=torch.Generator().manual_seed(0))


def _last(run_dir: Path) -> Path:
    return (run_dir / "checkpoints" / "last").resolve()


def _prepared(**settings: Any) -> DiaModel:
    model = small_model()
    prepare_model(model, TrainSettings(steps=1, **settings), base="somewhere/base")
    return model


def _assert_same(left: Any, right: Any, name: str) -> None:
    """Nested states are the same to the last bit."""
    if isinstance(left, dict):
        assert left.keys() == right.keys(), name
        for key in left:
            _assert_same(left[key], right[key], f"{name}.{key}")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), name
    elif not name.endswith("corpus"):
        assert left == right, name


WAYS: dict[str, dict[str, Any]] = {
    "dora, bf16, averaged": {
        "lora": {"rank": 4, "dora": True, "dropout": 0.1, "embeddings": True},
        "weights": "bf16",
        "precision": "auto",
        "ema_decay": 0.5,
    },
    "fp16, averaged": {"precision": "fp16", "ema_decay": 0.5, "freeze": ["encoder.*"]},
    "averaged apart": {"ema_decay": 0.5, "use_ema": False},
    "8 bits": {"optimizer": "adamw8bit", "weights": "bf16", "precision": "auto"},
}


@peft_warns
@pytest.mark.parametrize("way", WAYS)
def test_every_way_resumes_in_the_same_bits(tmp_path: Path, way: str) -> None:
    if "8 bits" in way:
        pytest.importorskip("torchao")
    settings: dict[str, Any] = {"schedule": "constant", "valid_every": 9, "log_every": 9}
    settings |= {"checkpoint_every": 9, "warmup_steps": 1, **WAYS[way]}
    run_recipe(tiny_recipe(tmp_path, steps=3, **settings), tmp_path / "straight")
    run_recipe(tiny_recipe(tmp_path, steps=1, **settings), tmp_path / "halves")
    run_recipe(tiny_recipe(tmp_path, steps=3, **settings), tmp_path / "halves", resume=True)
    straight, halves = _last(tmp_path / "straight"), _last(tmp_path / "halves")
    assert {path.name for path in straight.iterdir()} == {path.name for path in halves.iterdir()}
    (file,) = straight.glob("*.safetensors")
    _assert_same(load_file(file), load_file(halves / file.name), file.name)
    before, after = load_training_state(straight), load_training_state(halves)
    best = before.pop("best_loss"), after.pop("best_loss")  # validated after step 1 in one of them
    assert best[1] <= best[0]
    _assert_same(before, after, "state")


@pytest.mark.filterwarnings("ignore")  # peft's, about transformers
@pytest.mark.parametrize("dora", [False, True])
def test_adapter_is_one_to_peft_and_transformers(tmp_path: Path, dora: bool) -> None:
    """What trained here, what peft makes of it, and the merged model say the same."""
    import peft

    lora = {"rank": 4, "dora": dora, "embeddings": True, "targets": ["q_proj", "decoder.*.mlp.*"]}
    recipe = tiny_recipe(tmp_path, steps=3, lr=0.02, lora=lora)
    run_recipe(recipe, tmp_path / "run")
    checkpoint = _last(tmp_path / "run")
    assert {path.name for path in checkpoint.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "dialoom.json", "training",
    }  # fmt: skip
    before = load_model(tmp_path / "base").model
    ours = load_model(tmp_path / "run")
    assert ours.info.recipe_hash == recipe.content_hash
    changed = {
        name
        for name, tensor in ours.model.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[name])
    }
    assert {"model.encoder.embedding.weight", "model.decoder.embeddings.embed.weight"} < changed
    assert len(changed) == 2 + 6 + 4
    base = DiaForConditionalGeneration.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, str(checkpoint)).eval()
    with torch.no_grad():
        logits = theirs(input_ids=TEXT, decoder_input_ids=AUDIO).logits
        expected = logits.unflatten(0, (1, -1)).transpose(1, 2)
        merged = ours.model(TEXT, AUDIO)
        plain = before(TEXT, AUDIO)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-4)
    assert (merged - plain).abs().max() > 0.1, "it learnt something"


@peft_warns
@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_live_adapter_computes_what_it_is_merged_to(tmp_path: Path, weights: str) -> None:
    """No faster path through the model may pass an adapter by."""
    settings = {"weights": weights, "precision": "auto" if weights == "bf16" else "fp32"}
    recipe = tiny_recipe(tmp_path, steps=2, lr=0.02, lora={"rank": 2}, **settings)
    seen: list[DiaModel] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "dialoom.recipe.probe.SentenceProbe.__call__",
            lambda self, model, step: (seen.append(model), iter(()))[1],
        )
        patch.setattr("dialoom.recipe.probe._sentences_of", lambda *_: [])
        recipe = Recipe.model_validate(
            {**recipe.model_dump(), "evaluate": {"sentences": ["[S1] Hello."]}}
        )
        run_recipe(recipe, tmp_path / "run")
    live, merged = seen[-1].eval(), load_model(tmp_path / "run").model
    with torch.no_grad():
        expected, found = merged(TEXT, AUDIO), live(TEXT, AUDIO).float()
    tolerance = 1e-4 if weights == "fp32" else 0.02 * float(expected.std()) * 10
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=tolerance)


@peft_warns
def test_adapter_alone_trains_and_begins_as_the_base() -> None:
    model, base = _prepared(lora={"rank": 4}), small_model()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert len(trained) == 2 * (2 * 6 + 2 * 10)
    assert torch.equal(model(TEXT, AUDIO), base(TEXT, AUDIO))
    again = dict(_prepared(lora={"rank": 4}).named_parameters())
    assert all(torch.equal(p, again[name]) for name, p in model.named_parameters()), "seeded"
    other = dict(_prepared(lora={"rank": 4}, seed=1).named_parameters())
    assert not all(torch.equal(p, other[name]) for name, p in model.named_parameters())


@peft_warns
def test_bf16_leaves_what_trains_in_fp32() -> None:
    model = _prepared(lora={"embeddings": True}, weights="bf16")
    for name, parameter in model.named_parameters():
        expected = torch.float32 if parameter.requires_grad else torch.bfloat16
        assert parameter.dtype is expected, name
    assert model(TEXT, AUDIO).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("q_prj", r"'q_prj' names no linear map; near are q_proj"),
        ("encoder.*.cross", "names no linear map"),
        ("norm", "'norm' names no linear map"),
        ("logits_dense", "names no linear map"),
    ],
)
def test_targets_that_name_nothing(target: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _prepared(lora={"targets": ["q_proj", target]})


def test_frozen_weights_stay(tmp_path: Path) -> None:
    patterns = ["encoder.*", "model.decoder.layers.0.mlp.*", "*norm*"]
    run_recipe(tiny_recipe(tmp_path, steps=2, freeze=patterns), tmp_path / "run")
    before = weights(tmp_path / "base")
    for name, tensor in weights(_last(tmp_path / "run")).items():
        frozen = "encoder" in name or "decoder.layers.0.mlp" in name or "norm" in name
        assert torch.equal(tensor, before[name]) == frozen, name
    event = read_metrics(tmp_path / "run" / "metrics.jsonl").events[0].message
    assert "M parameters of which" in event


def test_frozen_weights_have_no_optimizer_state() -> None:
    model = _prepared(freeze=["decoder.*", "logits_dense.*"])
    groups = build_optimizer(model, TrainSettings(steps=1)).param_groups
    assert sum(len(g["params"]) for g in groups) == len(list(model.encoder.parameters()))


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["encodr.*"], r"'encodr\.\*' matches no parameter; near are encoder\.\*"),
        (["encoder.*", "decoder.layer.0.*"], r"near are decoder\.layers\.0\.\*"),
        (["*"], "leaves nothing to train"),
    ],
)
def test_patterns_that_cannot_be(patterns: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _prepared(freeze=patterns)


def test_average_follows_its_formula() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, decay=0.3)
    expected = 0.0
    for n in range(1, 6):
        with torch.no_grad():
            model.weight.fill_(float(n))
        average.update()
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    with average.applied():
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 5.0


@pytest.mark.parametrize("use_ema", [True, False])
def test_average_is_validated_and_saved_where_it_is_wanted(tmp_path: Path, use_ema: bool) -> None:
    settings = {"steps": 3, "lr": 0.01, "warmup_steps": 0}
    run_recipe(tiny_recipe(tmp_path, **settings), tmp_path / "plain")
    averaged = tiny_recipe(tmp_path, ema_decay=0.9, use_ema=use_ema, **settings)
    run_recipe(averaged, tmp_path / "averaged")
    plain, saved = (weights(_last(tmp_path / name)) for name in ("plain", "averaged"))
    losses = [
        read_metrics(tmp_path / name / "metrics.jsonl").valid[-1].loss
        for name in ("plain", "averaged")
    ]
    state = load_training_state(_last(tmp_path / "averaged"))["ema"]
    assert state["num_updates"] == 3
    name = "logits_dense.weight"
    assert torch.equal(saved[name], plain[name]) != use_ema
    assert (losses[0] == losses[1]) != use_ema
    assert torch.equal(state["tensors"][name], plain[name]) == use_ema, "the other set is kept"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora": {}, "freeze": ["encoder.*"]}, "leave `freeze` out"),
        ({"lora": {}, "optimizer": "adamw8bit"}, "leave optimizer at adamw"),
        ({"weights": "bf16"}, "loses the updates of adamw; take optimizer: adamw8bit"),
        ({"weights": "bf16", "lora": {}, "precision": "fp16"}, "cannot compute in fp16"),
        (
            {"weights": "bf16", "optimizer": "adamw8bit", "ema_decay": 0.9},
            "cannot hold an average",
        ),
    ],
)
def test_ways_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings(steps=1, **settings)


def test_adapter_needs_a_base(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, lora={})
    recipe = Recipe.model_validate({**recipe.model_dump(), "model": {"preset": "mini"}})
    with pytest.raises(RecipeError, match=r"an adapter on a base: name one in model\.base"):
        run_recipe(recipe, tmp_path / "run")


def test_missing_torchao_is_named_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchao", "torchao.optim"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "dialoom.train.adamw_8bit", raising=False)
    recipe = tiny_recipe(tmp_path, optimizer="adamw8bit", weights="bf16", precision="auto")
    with pytest.raises(RecipeError, match=r"needs torchao: pip install 'dialoom\[low-memory\]'"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@peft_warns
def test_bf16_weights_are_rounded_stochastically() -> None:
    """Updates far below the resolution of bf16 move the mean of the weights as they should."""
    pytest.importorskip("torchao")
    parameter = torch.nn.Parameter(torch.ones(256, 256, dtype=torch.bfloat16))
    optimizer = adamw_8bit()([{"params": [parameter]}], lr=1e-4, betas=(0.9, 0.95))
    parameter.grad = torch.ones_like(parameter)
    torch.manual_seed(0)
    optimizer.step()
    moved = 1 - parameter.detach().float().mean().item()
    assert moved == pytest.approx(1e-4, rel=0.1)
    assert set(parameter.detach().flatten().tolist()) == {1.0, 1 - 2**-8}, "neighbours in bf16"


@peft_warns
def test_states_have_8_bits_and_are_plain_in_a_checkpoint() -> None:
    pytest.importorskip("torchao")
    parameter = torch.nn.Parameter(torch.ones(64, 256))
    optimizer = adamw_8bit()([{"params": [parameter]}], lr=1e-4, betas=(0.9, 0.95))
    parameter.grad = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    state = optimizer.state_dict()["state"][0]["exp_avg"]
    assert type(state["codes"]) is torch.Tensor
    assert state["codes"].dtype is torch.uint8
    assert state["codes"].shape == parameter.shape
