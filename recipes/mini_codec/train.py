"""Trains the bundled codec `mini` from nothing: see README.md beside this file.

Three stages by wall-clock time, so that the same command fits any machine:
    continuous   no quantizer; noise on the latents makes them fit for one
    quantized    codebooks from k-means, then moving averages; the encoder still learns
    frozen       encoder and codebooks stay, the decoder learns what the codes now mean
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import RATE_HZ, CropSampler, list_recordings, recorded_clips, synthetic_clips
from losses import ADVANCE_WINDOWS, WINDOWS, LossWeights, SpectralLoss
from quantizing import CodebookAverages
from safetensors.torch import save_file
from torch import Tensor, nn

from dialoom.codec.mini_network import MiniNetwork, MiniShape

CROP_FRAMES = 88
WINDOWS_PER_STEP = 3


@dataclass(frozen=True)
class Plan:
    """When what happens, as shares of the time, and how hard it is pushed."""

    quantize_at: float = 0.3
    freeze_at: float = 0.78
    peak_lr: float = 2e-3
    final_lr: float = 3e-5
    warmup_steps: int = 200
    latent_noise: float = 0.1
    commitment: float = 0.15
    smoothness: float = 0.01
    dropout: float = 0.15
    average_decay: float = 0.999
    clip: float = 1.0


class Run:
    """All state of a training run.

    Args:
        options: the parsed command line.
        plan: the schedule.
    """

    def __init__(self, options: argparse.Namespace, plan: Plan) -> None:
        self.options, self.plan = options, plan
        self.device = torch.device(pick_device(options.device))
        self.network = MiniNetwork(MiniShape(), decimation=2).to(self.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.codebooks = CodebookAverages(self.network.quantizer)
        self.loss = SpectralLoss(RATE_HZ, LossWeights()).to(self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network), lr=plan.peak_lr, betas=(0.9, 0.98), fused=True
        )
        self.rng = np.random.default_rng(options.seed)
        self.step, self.elapsed_s, self.stage = 0, 0.0, "continuous"

    @property
    def progress(self) -> float:
        return min(1.0, self.elapsed_s / (60 * float(self.options.minutes)))

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "codebooks": self.codebooks.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "rng": self.rng.bit_generator.state,
            "clock": {"step": self.step, "elapsed_s": self.elapsed_s, "stage": self.stage},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("network", "average", "codebooks", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        torch.set_rng_state(state["torch_rng"])
        self.rng.bit_generator.state = state["rng"]
        for name, value in state["clock"].items():
            setattr(self, name, value)
        if self.stage == "frozen":
            self.network.encoder.requires_grad_(False)

    def enter_stages(self, sampler: CropSampler) -> None:
        """Moves on to the stage that the clock asks for."""
        if self.stage == "continuous" and self.progress >= self.plan.quantize_at:
            with torch.no_grad():
                seen = [self.encode(self.draw(sampler)).flatten(0, 1) for _ in range(24)]
            self.codebooks.initialise(torch.cat(seen))
            self.stage = "quantized"
        if self.stage == "quantized" and self.progress >= self.plan.freeze_at:
            self.network.encoder.load_state_dict(self.average.encoder.state_dict())
            self.network.encoder.requires_grad_(False)
            for _ in range(60):  # The averaged encoder is not quite the one they followed.
                with torch.no_grad():
                    self.codebooks.quantize(self.encode(self.draw(sampler)), learn=True)
            self.stage = "frozen"

    def draw(self, sampler: CropSampler) -> Tensor:
        return torch.from_numpy(sampler.batch(self.options.batch)).to(self.device)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def encode(self, samples: Tensor) -> Tensor:
        features = self.network.analyse(samples)
        with self.autocast():
            latents: Tensor = self.network.encoder(features)
        return latents.float()

    def bottleneck(self, latents: Tensor) -> Tensor:
        """What the decoder gets in this stage, with the gradient passed straight through."""
        scale = latents.detach().square().mean().sqrt()
        if self.stage == "continuous":
            return latents + self.plan.latent_noise * scale * torch.randn_like(latents)
        partial, _ = self.codebooks.quantize(latents.detach(), learn=self.stage == "quantized")
        depth = partial.shape[2] - 1
        if self.rng.random() < self.plan.dropout:
            depth = int(self.rng.integers(0, depth))
        return latents + (partial[:, :, depth] - latents).detach()

    def train_step(self, samples: Tensor) -> dict[str, float]:
        self.set_lr()
        latents = self.encode(samples)
        received = self.bottleneck(latents)
        with self.autocast():
            spectrum = self.network.decoder(received)
        made = self.network.synthesise(spectrum)
        terms = self.loss(made, samples, self.pick_windows())
        if self.stage != "frozen":
            variance = latents.detach().var()
            steps = latents[:, 1:] - latents[:, :-1]
            terms["smoothness"] = self.plan.smoothness * steps.square().mean() / variance
        if self.stage == "quantized":
            with torch.no_grad():
                partial, _ = self.codebooks.quantize(latents, learn=False)
            gap = (latents - partial[:, :, -1]).square().mean() / variance
            terms["commitment"] = self.plan.commitment * gap
        return self.update(terms)

    def update(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Backward, clip, step; the terms and the norm of the gradient as numbers."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        self.optimizer.step()
        self.update_average()
        self.step += 1
        return {name: term.item() for name, term in terms.items()} | {"norm": norm.item()}

    def pick_windows(self) -> list[int]:
        """Some windows per step are as good as all and cost less; one of them sees the advance."""
        must = self.rng.choice(ADVANCE_WINDOWS, 1)
        others = [length for length in WINDOWS if length != must[0]]
        chosen = self.rng.choice(others, WINDOWS_PER_STEP - 1, replace=False)
        return [int(length) for length in (*must, *chosen)]

    def set_lr(self) -> None:
        """Cosine over the whole time after a linear warm-up."""
        plan = self.plan
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        lr = plan.final_lr + (plan.peak_lr - plan.final_lr) * cosine
        for group in self.optimizer.param_groups:
            group["lr"] = lr * min(1.0, (self.step + 1) / plan.warmup_steps)

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(self.plan.average_decay, (1 + self.step) / (10 + self.step))
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        self.average.quantizer.codebooks.copy_(self.network.quantizer.codebooks)


def pick_device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def parameter_groups(network: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def save_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Writes beside the path, then renames: a file either is there whole or is not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    temporary.chmod(0o644)  # safetensors makes its files private.
    os.replace(temporary, path)


def export(network: MiniNetwork, path: Path) -> None:
    """The weights as fp16 with the shape in the metadata, as `MiniCodec.load` reads them."""
    tensors = {
        name: tensor.detach().half().contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"format": "dialoom-mini-1", "shape": network.shape.to_json()}
    save_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def make_sampler(options: argparse.Namespace, seed: int) -> CropSampler:
    texts = options.texts.read_text("utf-8").splitlines() if options.texts else []
    texts = [text for text in texts if 20 <= len(text) <= 120]
    spoken = synthetic_clips(texts, minutes=options.synthetic_minutes, seed=options.seed)
    paths = list_recordings(options.recordings, set(options.hold_out))
    recorded = recorded_clips(paths, speeds=options.speeds, seed=options.seed)
    for name, clips in (("synthetic", spoken), ("recorded", recorded)):
        minutes = sum(map(len, clips)) / RATE_HZ / 60
        print(f"{name}: {len(clips)} clips, {minutes:.1f} minutes", flush=True)
    pools = [(1 - options.recorded_share, spoken), (options.recorded_share, recorded)]
    return CropSampler(pools, CROP_FRAMES * 256, seed)


def train(options: argparse.Namespace, plan: Plan) -> None:
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    run, checkpoint = Run(options, plan), options.out / "last.pt"
    if options.resume and checkpoint.exists():
        run.load_state_dict(torch.load(checkpoint, weights_only=False))
    # Another seed after every resumption, so that no crop comes twice.
    sampler = make_sampler(options, options.seed + run.step)
    saved_s, log = run.elapsed_s, Log(options.log_every)
    while run.progress < 1.0:
        started = time.monotonic()
        run.enter_stages(sampler)
        log.add(run, run.train_step(run.draw(sampler)))
        run.elapsed_s += time.monotonic() - started
        if run.elapsed_s - saved_s > 60 * options.save_minutes or run.progress >= 1.0:
            save_atomically(checkpoint, lambda path: torch.save(run.state_dict(), path))
            export(run.average, options.out / "mini.safetensors")
            saved_s = run.elapsed_s
    if options.export:
        export(run.average, options.export)


class Log:
    """Prints means over every so many steps, one JSON object a line."""

    def __init__(self, every: int) -> None:
        self.every, self.seen, self.since = every, list[dict[str, float]](), time.monotonic()

    def add(self, run: Run, terms: dict[str, float]) -> None:
        self.seen.append(terms)
        if len(self.seen) < self.every:
            return
        means = {
            name: round(sum(step.get(name, 0.0) for step in self.seen) / len(self.seen), 4)
            for name in terms
        }
        pace = (time.monotonic() - self.since) / len(self.seen)
        clock = {"step": run.step, "stage": run.stage, "progress": round(run.progress, 3)}
        print(json.dumps(clock | means | {"s_per_step": round(pace, 3)}), flush=True)
        self.seen, self.since = [], time.monotonic()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--minutes", type=float, default=60, help="wall-clock time to train for")
    parser.add_argument("--texts", type=Path, help="English sentences, one a line")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="folders of audio")
    parser.add_argument(
        "--hold-out", nargs="*", default=[], help="stems of recordings to leave out"
    )
    parser.add_argument("--recorded-share", type=float, default=0.35, help="crops from recordings")
    parser.add_argument("--speeds", type=int, default=30, help="other speeds of every recording")
    parser.add_argument("--synthetic-minutes", type=float, default=180)
    parser.add_argument("--batch", type=int, default=16, help="crops of one second per step")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--log-every", type=int, default=100)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    parser.add_argument("--export", type=Path, help="also write the final weights here")
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    train(options, Plan())


if __name__ == "__main__":
    main()
