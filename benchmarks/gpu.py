"""What only a GPU can show: the packed kernel, a step that never waits, speed, and memory.

    python benchmarks/gpu.py [--smoke] [--budget-s 480]

Checks come first and end the run with status 1 if one fails. Then every row of the table is timed
until the budget of seconds is spent; rows that did not get their turn are named. Random weights of
Dia-1.6B, random codes, clips of 2–12 s. Useful FLOPs are 0.72 TFLOP for an audio-second; padding
counts for nothing. --smoke takes a small model and few clips, and runs on a CPU.
"""

import argparse
import datetime
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dialoom.codec import Codes
from dialoom.data import Batch, Clip, LengthBucketSampler, collate
from dialoom.loss import channel_loss, head_loss
from dialoom.model import PRESETS, DiaConfig, DiaModel, initialize
from dialoom.model.packed_attention import has_kernel, packed_attention
from dialoom.sequence import Spans, TokenLayout
from dialoom.text import TagTable
from dialoom.train import TrainSettings
from dialoom.train.compilation import compile_blocks, compiled_head_loss
from dialoom.train.oom import free_memory
from dialoom.train.optimizer import build_optimizer
from dialoom.train.recomputation import recompute_layers
from dialoom.train.step import Objective, train_step

FRAMES_PER_SECOND = 44_100 / 512
TFLOP_PER_AUDIO_SECOND = 0.72
PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "4090": 165}
GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """Where and how large.

    Attributes:
        device: that computes.
        config: of the model that is timed.
        num_clips: to draw batches from.
        max_seconds: of the longest clip.
        repeats: timed steps per row.
    """

    device: torch.device
    config: DiaConfig
    num_clips: int
    max_seconds: float
    repeats: int

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: for people.
        frames: budget of a micro-batch.
        packed: or padded.
        compiled: blocks and loss.
        recompute: layers that compute their activations again.
        limit_gib: of the GPU's memory; None for all of it.
        ways: settings besides, such as adapters or 8-bit states.
    """

    name: str
    frames: int
    packed: bool = True
    compiled: bool = False
    recompute: str | int = "none"
    limit_gib: float | None = None
    ways: tuple[tuple[str, object], ...] = ()


EIGHT_BIT = (("optimizer", "adamw8bit"), ("weights", "bf16"))
LORA = (("lora", {"rank": 16}), ("weights", "bf16"))
ROWS = (
    Row("full, packed, 4k rows", 4096),
    Row("full, packed, compiled, 4k rows", 4096, compiled=True),
    Row("full, packed, compiled, 16k rows", 16384, compiled=True),
    Row("full, bucketed padding, 16k rows", 16384, packed=False),
    Row("full, every 2nd layer recomputed, 16k rows", 16384, recompute=2),
    Row("full in 24 GB: bf16 weights, 8-bit states", 4096, limit_gib=22, ways=EIGHT_BIT),
    Row("the same, all layers recomputed", 4096, recompute="all", limit_gib=18, ways=EIGHT_BIT),
    Row("LoRA r = 16 in 12 GB", 4096, recompute="all", limit_gib=10, ways=LORA),
)


class CheckFailed(Exception):
    """A GPU computes something else than a CPU."""


def check(name: str, error: float, bound: float) -> None:
    print(f"- {name}: {error:.2e} (at most {bound:.0e})")
    if not error <= bound:
        raise CheckFailed(name)


def relative(actual: Tensor, expected: Tensor) -> float:
    actual, expected = (x.detach().double().cpu() for x in (actual, expected))
    return float((actual - expected).norm() / expected.norm())


def clips(machine: Machine) -> list[Clip]:
    rng = np.random.default_rng(0)
    found = []
    for number, seconds in enumerate(rng.uniform(2, machine.max_seconds, machine.num_clips)):
        codes = rng.integers(0, 1024, (round(seconds * FRAMES_PER_SECOND), 9)).astype(np.uint16)
        found.append(Clip(str(number), "a" * round(15 * seconds), None, None, Codes(codes)))
    return found


def batches(machine: Machine, row: Row) -> list[Batch]:
    """Batches of one epoch in its order."""
    all_clips = clips(machine)
    sampler = LengthBucketSampler(
        [clip.codes.num_frames for clip in all_clips],
        batch_size=1024,
        seed=0,
        max_frames=row.frames,
        packed=row.packed,
    )
    groups = sampler.epoch_batches(0)[: machine.repeats + 3]
    return [
        collate(
            [all_clips[i] for i in group],
            layout=TokenLayout(),
            tags=TagTable.default(),
            frames_per_second=FRAMES_PER_SECOND,
            packed=row.packed,
        ).to(machine.device)
        for group in groups
    ]


def new_model(machine: Machine, config: DiaConfig) -> DiaModel:
    """Random weights, drawn where they will be."""
    with torch.device(machine.device):
        model = DiaModel(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3 / parameter.shape[1] ** 0.5)
            assert parameter.isfinite().all(), name
    return model.train()


def small_config() -> DiaConfig:
    """The mini preset with Dia's revision and layout: fp32 steps in no time."""
    mini = PRESETS["mini"]
    return replace(mini, encoder=replace(mini.encoder, num_hidden_layers=2))


def check_attention(machine: Machine) -> None:
    """The kernel in bf16 against one clip at a time in fp32, shared keys and causality included."""
    generator = torch.Generator().manual_seed(0)
    spans = Spans.of([37, 200, 5]), Spans.of([12, 3, 60])
    for is_causal, of_keys in ((True, spans[0]), (False, spans[1])):
        shape = (sum(of_keys.lengths), 2, 128)
        q = torch.randn(sum(spans[0].lengths), 8, 128, generator=generator) * 0.3
        keys, values = (torch.randn(shape, generator=generator) * 0.3 for _ in range(2))
        results = []
        for device, in_type in (
            (torch.device("cpu"), torch.float32),
            (machine.device, torch.bfloat16),
        ):
            inputs = [x.detach().to(device, in_type, copy=True) for x in (q, keys, values)]
            inputs = [x.requires_grad_() for x in inputs]
            where = spans[0].to(device), of_keys.to(device)
            out = packed_attention(*inputs, where, is_causal=is_causal, scale=1.0)
            out.float().square().sum().backward()
            results.append([out, *(x.grad for x in inputs)])
        for name, expected, actual in zip(("out", "dq", "dk", "dv"), *results, strict=True):
            kind = "causal" if is_causal else "cross"
            check(f"packed attention, {kind}, {name}", relative(actual, expected), 2e-2)


def check_loss(machine: Machine) -> None:
    """Chunks on the device against all logits at once on the CPU."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(5000, 64, generator=generator)
    head = torch.randn(9 * 1028, 64, generator=generator)
    targets = torch.randint(0, 1024, (5000, 9), generator=generator)
    whole = channel_loss((hidden @ head.T).view(1, -1, 9, 1028), targets[None], eos_id=1024)
    inputs = [x.to(machine.device, copy=True).requires_grad_() for x in (hidden, head)]
    chunked = head_loss(*inputs, targets.to(machine.device), eos_id=1024)
    check("loss in chunks", relative(chunked.weighted.detach(), whole.weighted), 1e-4)


def check_step(machine: Machine) -> None:
    """Packed and padded agree in bf16, a step waits for nothing, and NaN changes nothing."""
    config = small_config()
    small = replace(machine, config=config, num_clips=8, repeats=1)
    gradients = []
    for packed in (True, False):
        model = DiaModel(config)
        initialize(model, seed=0)
        model = model.to(machine.device).train()
        found = batches(small, Row("", 10**6, packed=packed))
        optimizer = build_optimizer(model, TrainSettings(steps=1))
        objective = Objective(clip_norm=1e9, autocast=machine.autocast())
        train_step(model, found[:1], optimizer, objective)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        with no_waiting(machine):
            result = train_step(model, found[:1], optimizer, objective)
        assert result.applied
    check("gradients of packed and padded batches", relative(*gradients), 5e-2)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        model.logits_dense.weight[5, 5] = torch.nan
    assert not train_step(model, found[:1], optimizer, objective).applied
    same = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    if sum(same) != len(same) - 1:  # all but the weight that was spoilt by hand
        raise CheckFailed("a gradient that is not finite changed weights")
    print("- a step waits for nothing; a gradient that is not finite changes nothing")


@contextmanager
def no_waiting(machine: Machine) -> Iterator[None]:
    """Any wait of the host for the GPU is an error in here."""
    if not machine.is_gpu:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def settings_of(row: Row) -> TrainSettings:
    return TrainSettings.model_validate({"steps": 100, "lr": 1e-5, **dict(row.ways)})


def ready(machine: Machine, row: Row) -> tuple[DiaModel, torch.optim.Optimizer, Objective]:
    settings = settings_of(row)
    model = new_model(machine, machine.config)
    if row.ways:
        from dialoom.train.ways import prepare_model

        prepare_model(model, settings, base="random")
    recompute_layers(model, row.recompute)
    if row.compiled:
        compile_blocks(model)
    objective = Objective(
        clip_norm=1.0,
        autocast=machine.autocast(),
        loss=compiled_head_loss() if row.compiled else head_loss,
    )
    return model, build_optimizer(model, settings), objective


def measure(machine: Machine, row: Row) -> str:
    """A line of the table; memory that does not suffice is a result too."""
    total = torch.cuda.get_device_properties(0).total_memory if machine.is_gpu else 0
    if machine.is_gpu:
        if row.limit_gib is not None and row.limit_gib * GIB > total:
            return f"| {row.name} | this GPU is smaller | | | | |"
        share = 1.0 if row.limit_gib is None else row.limit_gib * GIB / total
        torch.cuda.set_per_process_memory_fraction(share)
        free_memory()  # models whose layers compute again or are compiled lie in cycles
        torch.cuda.reset_peak_memory_stats()
    model, optimizer, objective = ready(machine, row)
    found = batches(machine, row)
    for batch in found[:3]:
        train_step(model, [batch], optimizer, objective)
    machine.wait()
    started = time.perf_counter()
    for batch in found[3:]:
        train_step(model, [batch], optimizer, objective)
    machine.wait()
    seconds = time.perf_counter() - started
    rate = sum(batch.audio_seconds for batch in found[3:]) / seconds
    peak = torch.cuda.max_memory_allocated() / GIB if machine.is_gpu else float("nan")
    rows = sum(batch.audio_mask_BT.numel() for batch in found)
    padding = 1 - sum(sum(batch.audio_lengths) for batch in found) / rows
    update = time_of_update(machine, model, optimizer) / (seconds / len(found[3:]))
    return (
        f"| {row.name} | {rate:.0f} | {utilisation(machine, rate)} | {peak:.1f} | "
        f"{padding:.1%} | {update:.1%} |"
    )


def time_of_update(
    machine: Machine, model: DiaModel, optimizer: torch.optim.Optimizer, repeats: int = 3
) -> float:
    """Seconds of clipping and updating, with the gradients that the last step left."""
    machine.wait()
    started = time.perf_counter()
    for _ in range(repeats):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    machine.wait()
    return (time.perf_counter() - started) / repeats


def utilisation(machine: Machine, rate: float) -> str:
    if not machine.is_gpu:
        return "–"
    name = torch.cuda.get_device_name()
    peak = next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
    return "–" if peak is None else f"{rate * TFLOP_PER_AUDIO_SECOND / peak:.1%}"


def table(machine: Machine, rows: Sequence[Row], deadline: float) -> None:
    print("\n| what | audio-s/s | of peak | peak memory, GiB | padding | clip and update |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        if time.monotonic() > deadline:
            print(f"| {row.name} | no time left | | | | |")
            continue
        try:
            print(measure(machine, row), flush=True)
        except torch.OutOfMemoryError:
            print(f"| {row.name} | out of memory | | | | |", flush=True)
        except Exception as error:  # one row's failure must not cost the others on a lent machine
            traceback.print_exc(file=sys.stderr)
            print(f"| {row.name} | failed: {type(error).__name__} | | | | |", flush=True)


CHECKS: tuple[Callable[[Machine], None], ...] = (check_attention, check_loss, check_step)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--budget-s", type=float, default=480)
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.budget_s
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not arguments.smoke:
        print("there is no GPU here: --smoke runs the same code with tiny shapes", file=sys.stderr)
        return 2
    machine = Machine(device, PRESETS["dia-1.6b"], num_clips=800, max_seconds=12, repeats=10)
    rows: Sequence[Row] = ROWS
    if arguments.smoke:
        machine = Machine(device, small_config(), num_clips=5, max_seconds=2.1, repeats=1)
        rows = [replace(row, frames=200, compiled=False) for row in ROWS]
    name = torch.cuda.get_device_name() if machine.is_gpu else "CPU"
    kernel = has_kernel(device)
    print(f"{datetime.date.today()}, {name}, PyTorch {torch.__version__}, kernel: {kernel}\n")
    for function in CHECKS:
        function(machine)
    table(machine, rows, deadline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
