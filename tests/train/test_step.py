"""One optimizer step: how it is cut into micro-batches does not matter."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus

from dialoom.data import Batch, Clip, Corpus, collate
from dialoom.model import DiaModel
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import TrainSettings
from dialoom.train.optimizer import build_optimizer, learning_rate, set_learning_rate
from dialoom.train.precision import autocast, loss_scaler, use_tf32
from dialoom.train.step import (
    Objective,
    forward_loss,
    no_loss,
    train_step,
    update_if_finite,
    with_dropout,
)

SETTINGS = TrainSettings(steps=100, lr=1e-3, warmup_steps=10, final_lr_ratio=0.1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    corpus = Corpus.open(write_corpus(tmp_path_factory.mktemp("c") / "corpus", num_clips=6))
    return [corpus[i] for i in range(len(corpus))]


def _batch(clips: list[Clip]) -> Batch:
    return collate(
        clips,
        layout=TokenLayout(),
        tags=TagTable.default(),
        frames_per_second=SPEC.frames_per_second,
    )


def _gradients(groups: list[list[Clip]]) -> dict[str, torch.Tensor]:
    model = small_model().train()
    train_step(
        model,
        [_batch(group) for group in groups],
        torch.optim.SGD(model.parameters(), lr=0.0),
        Objective(clip_norm=1e9),
    )
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_gradient_is_the_same_however_the_batch_is_cut(clips: list[Clip]) -> None:
    """Existing trainers average averages, so short clips weigh more the smaller the batch."""
    whole = _gradients([clips])
    for groups in ([clips[:1], clips[1:]], [[clip] for clip in clips]):
        parts = _gradients(groups)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_loss_is_summed_over_channels_and_divided_once(clips: list[Clip]) -> None:
    """A head that guesses has the gradient norm of Σ_c mean CE, not of one channel's mean."""
    model = small_model().train()
    batch = _batch(clips)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    result = train_step(model, [batch], optimizer, Objective(clip_norm=1e9))
    logits = model(batch.text_BS, batch.audio_BTC, batch.text_mask_BS)
    model.zero_grad()
    loss = sum(
        torch.nn.functional.cross_entropy(
            logits[:, :, channel].flatten(0, 1), batch.targets_BTC[:, :, channel].flatten()
        )
        for channel in range(9)
    )
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert result.grad_norm == pytest.approx(norm.item(), rel=1e-3)


def test_no_loss_has_the_shape_of_any_loss(clips: list[Clip]) -> None:
    """Ranks add up flattened sums, which must be equally long on all of them."""
    model = small_model()
    sums, none = forward_loss(model, _batch(clips), None), no_loss(model)
    for name, total in vars(sums).items():
        assert getattr(none, name).shape == total.shape, name
        assert not getattr(none, name).any(), name


def test_gradient_is_clipped(clips: list[Clip]) -> None:
    model = small_model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    result = train_step(model, [_batch(clips)], optimizer, Objective(clip_norm=0.01))
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert result.grad_norm > 0.01
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("fused", [True, False])
def test_gradient_that_is_not_finite_leaves_the_weights(clips: list[Clip], fused: bool) -> None:
    model = small_model().train()
    with torch.no_grad():
        model.logits_dense.weight[5, 5] = torch.inf
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, SETTINGS)
    if not fused:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = train_step(model, [_batch(clips)], optimizer, Objective(clip_norm=1.0))
    assert not result.applied
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(state["step"] == 0 for state in optimizer.state.values()), "it counts for nothing"


def test_skipped_step_leaves_the_next_one_as_it_would_be(clips: list[Clip]) -> None:
    """The optimizer decides on the device; bias correction must not see the step left out."""
    after = []
    for skips in (0, 2):
        model = small_model().train()
        optimizer = build_optimizer(model, SETTINGS)
        for _ in range(skips):
            _skip(model, optimizer)
        result = train_step(model, [_batch(clips)], optimizer, Objective(clip_norm=1.0))
        assert result.applied
        after.append({name: p.detach() for name, p in model.named_parameters()})
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])


def _skip(model: DiaModel, optimizer: torch.optim.Optimizer) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    update_if_finite(optimizer, torch.tensor(torch.nan))


def test_bf16_autocast_keeps_fp32_weights_and_nearly_the_loss(clips: list[Clip]) -> None:
    model = small_model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    results = [
        train_step(model, [_batch(clips)], optimizer, Objective(clip_norm=1.0, autocast=context))
        for context in (nullcontext(), torch.autocast("cpu", torch.bfloat16))
    ]
    exact, rounded = (r.sums.weighted.item() for r in results)
    assert rounded == pytest.approx(exact, rel=0.01)
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 100, SETTINGS) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == rates[10] == max(rates) == pytest.approx(1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(100, 100, SETTINGS) == pytest.approx(1e-4)


def test_only_linear_maps_decay() -> None:
    model = small_model()
    decayed, free, attention = build_optimizer(model, SETTINGS).param_groups
    groups = (decayed, free, attention)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert decayed["weight_decay"] == attention["weight_decay"] == SETTINGS.weight_decay
    assert free["weight_decay"] == 0
    assert {id(p) for p in free["params"]} == {
        id(p) for name, p in model.named_parameters() if "norm" in name or "embed" in name
    }


def test_queries_and_keys_may_learn_more_slowly() -> None:
    model = small_model()
    settings = SETTINGS.model_copy(update={"query_key_lr_ratio": 0.35})
    optimizer = build_optimizer(model, settings)
    set_learning_rate(optimizer, 0.01)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        slow = "q_proj" in name or "k_proj" in name
        assert rate[id(parameter)] == pytest.approx(0.0035 if slow else 0.01), name


def test_text_dropout_is_drawn_for_each_clip_and_repeats(clips: list[Clip]) -> None:
    batch = _batch(clips * 20)
    dropped = _drop(batch, text_dropout=0.5)
    lost = (dropped.text_BS == 0).all(dim=1)
    assert 0.3 < lost.float().mean() < 0.7
    assert torch.equal(dropped.text_mask_BS, batch.text_mask_BS)
    assert torch.equal(dropped.text_BS[~lost], batch.text_BS[~lost])
    assert torch.equal(dropped.audio_BTC, batch.audio_BTC)
    again = _drop(batch, text_dropout=0.5)
    assert torch.equal(again.text_BS, dropped.text_BS)
    for other in ({"step": 4}, {"number": 2}, {"seed": 1}):
        assert not torch.equal(_drop(batch, text_dropout=0.5, **other).text_BS, dropped.text_BS)


def test_audio_dropout_hides_whole_steps_and_never_the_first(clips: list[Clip]) -> None:
    batch = _batch(clips * 20)
    dropped = _drop(batch, text_dropout=0.0, audio_dropout=0.4)
    pad = TokenLayout().pad_id
    hidden = (dropped.audio_BTC == pad).all(dim=-1) & (batch.audio_BTC != pad).any(dim=-1)
    spoken = (batch.audio_BTC != pad).any(dim=-1)
    assert 0.3 < hidden.sum() / spoken.sum() < 0.5
    assert not hidden[:, 0].any()
    assert torch.equal(dropped.audio_BTC[~hidden], batch.audio_BTC[~hidden])
    assert torch.equal(dropped.targets_BTC, batch.targets_BTC)
    shares = hidden.sum(dim=1) / spoken.sum(dim=1)
    assert shares.min() < 0.15, "some clips are nearly whole"
    assert shares.max() > 0.6, "some clips are nearly gone"
    longest = max(_longest_run(row) for row in hidden)
    assert longest >= 32, "whole syllables are hidden, not only steps between others"


def test_misheard_clips_hear_themselves_at_another_time(clips: list[Clip]) -> None:
    batch = _batch(clips * 20)
    pad = TokenLayout().pad_id
    dropped = _drop(batch, text_dropout=0.0, audio_dropout=0.4, misheard_share=0.5)
    assert torch.equal(dropped.targets_BTC, batch.targets_BTC)
    assert torch.equal(dropped.audio_BTC[:, 0], batch.audio_BTC[:, 0])
    num_misheard, num_hidden = 0, 0
    for inputs_TC, heard_TC in zip(batch.audio_BTC, dropped.audio_BTC, strict=True):
        lost_TC = heard_TC[(heard_TC != inputs_TC).any(dim=-1)]
        if (lost_TC == pad).all():
            num_hidden += len(lost_TC) > 0
            continue
        num_misheard += 1
        steps = {tuple(step) for step in inputs_TC.tolist()}
        assert {tuple(step) for step in lost_TC.tolist()} <= steps
    assert min(num_misheard, num_hidden) > 20, "of 120 clips"


def _longest_run(row: torch.Tensor) -> int:
    return max((len(run) for run in "".join("01"[int(x)] for x in row).split("0")), default=0)


def _drop(
    batch: Batch,
    *,
    text_dropout: float,
    audio_dropout: float = 0.0,
    misheard_share: float = 0.0,
    seed: int = 0,
    step: int = 3,
    number: int = 1,
) -> Batch:
    settings = TrainSettings(
        steps=1,
        text_dropout=text_dropout,
        audio_dropout=audio_dropout,
        misheard_share=misheard_share,
        seed=seed,
    )
    return with_dropout(batch, settings, TokenLayout(), step=step, number=number)


def test_linear_falls_in_equal_steps() -> None:
    settings = SETTINGS.model_copy(update={"schedule": "linear"})
    assert learning_rate(10, 110, settings) == settings.lr
    assert learning_rate(60, 110, settings) == pytest.approx(settings.lr * (0.1 + 0.9 * 0.5))
    assert learning_rate(110, 110, settings) == pytest.approx(settings.lr * 0.1)


def test_scaled_loss_has_the_same_gradient(clips: list[Clip]) -> None:
    """The scale is taken out again before the gradient is measured and clipped."""
    norms = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**10)):
        model = small_model().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        objective = Objective(clip_norm=1.0, scaler=scaler)
        norms.append(train_step(model, [_batch(clips)], optimizer, objective).grad_norm)
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_overflow_halves_the_scale_and_leaves_the_weights(clips: list[Clip]) -> None:
    settings = TrainSettings(steps=1, precision="fp16", lr=1e-3)
    scaler = loss_scaler(torch.device("cpu"), settings)
    assert scaler is not None
    model = small_model().train()
    with torch.no_grad():
        model.logits_dense.weight[5, 5] = 1e30
    before = {name: p.clone() for name, p in model.named_parameters()}
    context = autocast(torch.device("cpu"), settings)
    objective = Objective(clip_norm=1.0, autocast=context, scaler=scaler)
    result = train_step(model, [_batch(clips)], build_optimizer(model, settings), objective)
    assert not result.applied
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert scaler.get_scale() == 2.0**9


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"precision": "fp32"}, None),
        ({"precision": "bf16"}, torch.bfloat16),
        ({"precision": "fp16"}, torch.float16),
        ({"weights": "bf16", "optimizer": "adamw8bit"}, torch.bfloat16),
    ],
)
def test_precision_decides_the_products(
    settings: dict[str, Any], dtype: torch.dtype | None
) -> None:
    train = TrainSettings(steps=1, **settings)
    left, right = torch.ones(2, 2), torch.ones(2, 2)
    with autocast(torch.device("cpu"), train):
        assert (left @ right).dtype is (dtype or torch.float32)
    assert (loss_scaler(torch.device("cpu"), train) is not None) == (dtype is torch.float16)


def test_tf32_is_for_gpus_alone() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        for device, enabled, expected in (
            ("cuda", True, "high"), ("cpu", False, "high"), ("cuda", False, "highest"),
        ):  # fmt: skip
            use_tf32(torch.device(device), enabled=enabled)
            assert torch.get_float32_matmul_precision() == expected
    finally:
        torch.set_float32_matmul_precision(before)


def test_wsd_stays_and_then_falls() -> None:
    settings = SETTINGS.model_copy(update={"schedule": "wsd", "decay_steps": 20})
    assert learning_rate(79, 100, settings) == settings.lr
    assert learning_rate(90, 100, settings) == pytest.approx(settings.lr * (0.1 + 0.9 * 0.5))
    assert learning_rate(90, 200, settings) == settings.lr, "a longer run stays for longer"
    assert learning_rate(4, 100, settings) == pytest.approx(settings.lr / 2)


def test_step_of_which_no_clip_fitted_leaves_the_scaler_usable(clips: list[Clip]) -> None:
    model = small_model().train()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    objective = Objective(clip_norm=1.0, scaler=scaler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    batch = _batch(clips)
    for _ in range(2):
        assert train_step(model, [batch], optimizer, objective, lambda _: no_loss(model)).norm == 0
    assert train_step(model, [batch], optimizer, objective).grad_norm > 0
