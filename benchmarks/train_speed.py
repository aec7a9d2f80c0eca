"""Training on a CPU: dialoom against transformers' Dia and against the padding of existing scripts.

    python benchmarks/train_speed.py [--rounds 3] [--threads 2] [--clock wall] [--only NAME …]

One process; all contenders take their turn in every round, and the fastest round of each counts.
On a machine that does other work too, measure the processor time of one thread: --clock cpu
--threads 1.
Each trains the same model (encoder 2 × 128, decoder 4 × 256, fp32) with the same AdamW and clip on
synthetic clips of 2–12 s. The figure is useful audio-seconds per second: padding is not counted.
Batches are drawn evenly over the lengths, so that a few of them stand for an epoch.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dialoom.codec import Codes
from dialoom.data import Batch, Clip, LengthBucketSampler, collate
from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, initialize
from dialoom.sequence import IGNORE_INDEX, decoder_self_mask
from dialoom.text import TagTable
from dialoom.train.step import Objective, train_step

FRAMES_PER_SECOND = 44_100 / 512
BYTES_PER_SECOND = 15
CLIPS_PER_BATCH = 8
NUM_CLIPS = 2_000
SCRIPT_STEPS, SCRIPT_BYTES = 1538, 512
"""What the existing script pads every clip and every text to."""

CONFIG = DiaConfig(
    encoder=EncoderConfig(
        num_hidden_layers=2,
        hidden_size=128,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=512,
    ),
    decoder=DecoderConfig(
        num_hidden_layers=4,
        hidden_size=256,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        cross_num_attention_heads=4,
        cross_num_key_value_heads=4,
        cross_head_dim=64,
        intermediate_size=1024,
    ),
)


@dataclass
class Contender:
    """Something that trains on a batch.

    Attributes:
        step: one optimizer step.
        batches: the batches of a round, with the useful audio-seconds of each.
        rates: audio-seconds per second of every round.
    """

    step: Callable[[Batch], None]
    batches: Sequence[Batch]
    rates: list[float] = field(default_factory=list)

    def run(self, clock: Callable[[], float]) -> None:
        started = clock()
        for batch in self.batches:
            self.step(batch)
        seconds = clock() - started
        self.rates.append(sum(batch.audio_seconds for batch in self.batches) / seconds)


class Clips:
    """Synthetic clips of 2–12 s, uniform, whose codes exist only when they are asked for."""

    def __init__(self) -> None:
        durations_s = np.random.default_rng(0).uniform(2, 12, NUM_CLIPS)
        self.lengths = [round(seconds * FRAMES_PER_SECOND) for seconds in durations_s]

    def batch(self, indices: Iterable[int], *, packed: bool = False) -> Batch:
        return collate(
            [self._clip(index) for index in indices],
            layout=CONFIG.layout,
            tags=TagTable.default(),
            frames_per_second=FRAMES_PER_SECOND,
            packed=packed,
        )

    def _clip(self, index: int) -> Clip:
        rng = np.random.default_rng([1, index])
        length = self.lengths[index]
        text = "a" * round(length / FRAMES_PER_SECOND * BYTES_PER_SECOND)
        codes = rng.integers(0, 1024, (length, 9)).astype(np.uint16)
        return Clip(str(index), text, None, None, Codes(codes))

    def evenly(self, groups: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
        """So many of the groups, from the middle of as many equal parts by their longest clip."""
        ordered = sorted(groups, key=lambda group: max(self.lengths[i] for i in group))
        return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


def new_model() -> DiaModel:
    model = DiaModel(CONFIG)
    initialize(model, seed=0)
    return model.train()


def dialoom_step(model: DiaModel) -> Callable[[Batch], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective = Objective(clip_norm=1.0)
    return lambda batch: void(train_step(model, [batch], optimizer, objective))


def loss_step(
    model: torch.nn.Module, loss_of: Callable[[Batch], Tensor]
) -> Callable[[Batch], None]:
    """Any other loss, with the same optimizer and clip."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def transformers_step() -> Callable[[Batch], None]:
    """Masks and labels as DiaProcessor makes them, loss as the model computes it."""
    from transformers import DiaConfig as TransformersConfig
    from transformers import DiaForConditionalGeneration

    from dialoom.checkpoint.transformers_config import to_transformers_config

    ours = new_model()
    model = DiaForConditionalGeneration(
        TransformersConfig.from_dict(to_transformers_config(CONFIG))
    ).train()
    model.load_state_dict(ours.state_dict())

    def loss_of(batch: Batch) -> Tensor:
        return model(
            input_ids=batch.text_BS,
            attention_mask=batch.text_mask_BS.long(),
            decoder_input_ids=batch.audio_BTC,
            decoder_attention_mask=batch.audio_mask_BT.long(),
            labels=batch.targets_BTC.transpose(1, 2).flatten(0, 1),
            use_cache=False,
        ).loss

    return loss_step(model, loss_of)


def script_step() -> Callable[[Batch], None]:
    """Our model as the existing script trains: dense masks, fp32 logits of all, by channel."""
    model = new_model()

    def loss_of(batch: Batch) -> Tensor:
        text_BS = F.pad(batch.text_BS, (0, SCRIPT_BYTES - batch.text_BS.shape[1]))
        text_mask_BS = F.pad(batch.text_mask_BS, (0, SCRIPT_BYTES - batch.text_BS.shape[1]))
        missing = SCRIPT_STEPS - batch.audio_BTC.shape[1]
        audio_BTC = F.pad(batch.audio_BTC, (0, 0, 0, missing), value=CONFIG.layout.pad_id)
        targets_BTC = F.pad(batch.targets_BTC, (0, 0, 0, missing), value=IGNORE_INDEX)
        audio_mask_BT = F.pad(batch.audio_mask_BT, (0, missing))
        encoder_mask = (text_mask_BS[:, None, :] & text_mask_BS[:, :, None])[:, None]
        encoder_mask = encoder_mask | torch.eye(SCRIPT_BYTES, dtype=torch.bool)
        cross = text_mask_BS[:, None, None, :].expand(-1, 1, SCRIPT_STEPS, -1)
        hidden = dense_states(
            model, text_BS, audio_BTC, (encoder_mask, decoder_self_mask(audio_mask_BT), cross)
        )
        logits_BTCV = model.head(hidden).float()
        return sum(
            F.cross_entropy(
                logits_BTCV[:, :, channel].flatten(0, 1),
                targets_BTC[:, :, channel].flatten(),
                ignore_index=IGNORE_INDEX,
            )
            for channel in range(CONFIG.layout.num_channels)
        )

    return loss_step(model, loss_of)


def dense_states(
    model: DiaModel, text_BS: Tensor, audio_BTC: Tensor, masks: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """`DiaModel.states` with a dense mask for every attention."""
    from dialoom.model.rope import rotary_table

    encoder_mask, decoder_mask, cross = masks
    encoder, decoder = model.encoder, model.decoder
    rope = rotary_table(torch.arange(text_BS.shape[1]), encoder.head_dim, encoder.rope_theta)
    states = encoder.embedding(text_BS)
    for layer in encoder.layers:
        states = layer(states, rope, encoder_mask)
    states = encoder.norm(states)
    rope = rotary_table(torch.arange(audio_BTC.shape[1]), CONFIG.decoder.head_dim, 1e4)
    x = decoder.embeddings(audio_BTC)
    for layer in decoder.layers:
        x = x + layer.self_attention(layer.pre_sa_norm(x), rope, decoder_mask)
        text = layer.cross_attention.keys_values(states, None)
        x = x + layer.cross_attention(layer.pre_ca_norm(x), text, cross, None)
        x = x + layer.mlp(layer.pre_mlp_norm(x))
    return decoder.norm(x)


def void(_: object) -> None:
    """For lambdas whose result nobody wants."""


def contenders(count: int) -> dict[str, Contender]:
    clips = Clips()
    order = np.random.default_rng(2).permutation(NUM_CLIPS).tolist()
    random_groups = [order[i : i + CLIPS_PER_BATCH] for i in range(0, NUM_CLIPS, CLIPS_PER_BATCH)]
    by_length = sorted(order, key=lambda index: clips.lengths[index])
    sorted_groups = [
        by_length[i : i + CLIPS_PER_BATCH] for i in range(0, NUM_CLIPS, CLIPS_PER_BATCH)
    ]
    budget = round(CLIPS_PER_BATCH * float(np.mean(clips.lengths)))
    sampler = partial(
        LengthBucketSampler,
        clips.lengths,
        batch_size=4 * CLIPS_PER_BATCH,
        seed=0,
        max_frames=budget,
    )
    bucketed, packed = (sampler(packed=flag).epoch_batches(0) for flag in (False, True))

    def chosen(groups: Sequence[Sequence[int]], *, is_packed: bool = False) -> list[Batch]:
        return [clips.batch(group, packed=is_packed) for group in clips.evenly(groups, count)]

    return {
        "packed": Contender(dialoom_step(new_model()), chosen(packed, is_packed=True)),
        "bucketed": Contender(dialoom_step(new_model()), chosen(bucketed)),
        "bucketed, compiled": Contender(compiled_step(), chosen(bucketed)),
        "packed, compiled": Contender(compiled_step(), chosen(packed, is_packed=True)),
        "transformers, sorted": Contender(transformers_step(), chosen(sorted_groups)),
        "transformers, random": Contender(transformers_step(), chosen(random_groups)),
        "1538 rows": Contender(script_step(), chosen(random_groups)[: max(1, count // 3)]),
    }


def compiled_step() -> Callable[[Batch], None]:
    from dialoom.train.compilation import compile_blocks, compiled_head_loss

    model = new_model()
    compile_blocks(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective = Objective(clip_norm=1.0, loss=compiled_head_loss())
    return lambda batch: void(train_step(model, [batch], optimizer, objective))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--batches", type=int, default=3, help="of each contender per round")
    parser.add_argument("--only", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    field_ = contenders(arguments.batches)
    if arguments.only:
        field_ = {name: c for name, c in field_.items() if name in arguments.only}
    print(
        f"{arguments.threads} threads, {arguments.clock} time, {arguments.rounds} rounds",
        flush=True,
    )
    for contender in field_.values():  # allocators, thread pools and graphs
        contender.step(contender.batches[0])
    for _ in range(arguments.rounds):
        for contender in field_.values():
            contender.run(clock)
    best = {name: max(contender.rates) for name, contender in field_.items()}
    print("| contender | audio-s/s, best | median | padding | dialoom's best ÷ this |")
    print("|---|---|---|---|---|")
    fastest = max(rate for name, rate in best.items() if name in ("packed", "bucketed"))
    for name, contender in field_.items():
        batches = contender.batches
        useful = sum(int(b.audio_mask_BT.sum()) for b in batches)
        rows = sum(b.audio_mask_BT.numel() for b in batches)
        padding = 1 - useful / (rows if name != "1538 rows" else len(batches) * 8 * SCRIPT_STEPS)
        print(
            f"| {name} | {best[name]:.1f} | {float(np.median(contender.rates)):.1f} | "
            f"{padding:.1%} | {fastest / best[name]:.2f} |"
        )


if __name__ == "__main__":
    main()
