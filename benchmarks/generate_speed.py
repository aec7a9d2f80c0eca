"""Frames per second of the decoding loop, without codec, against transformers' generate.

    python benchmarks/generate_speed.py [--sizes small large] [--frames 516] [--repeats 3]

Random weights in float32, guidance on, an end that never comes by itself. Both speak the same
texts in one process, by turns; a row of the table is the median of the repeats. CPU seconds are
those of this process: where other work shares the cores, they say more than the clock does.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import DiaConfig as TransformersConfig
from transformers import DiaForConditionalGeneration

from dialoom.checkpoint.transformers_config import to_transformers_config
from dialoom.generate import SamplingSettings
from dialoom.generate.decode import Request, generate_codes
from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, initialize
from dialoom.sequence import delay_codes, undelay_codes

SIZES = {"small": (128, 256), "large": (512, 1024)}
HEAD_DIM = 64
TEXT_BYTES = 60
MODES = {
    "greedy": SamplingSettings(temperature=0, cfg_scale=3.0, top_k=45),
    "sampled": SamplingSettings(temperature=1.3, top_p=0.95, cfg_scale=3.0, top_k=45),
}


def build(encoder_width: int, decoder_width: int) -> DiaModel:
    """Dia's proportions: four times the width in the feed-forward, four queries to a key."""
    encoder_heads, heads = encoder_width // HEAD_DIM, decoder_width // HEAD_DIM
    model = DiaModel(
        DiaConfig(
            encoder=EncoderConfig(
                num_hidden_layers=2,
                hidden_size=encoder_width,
                num_attention_heads=encoder_heads,
                num_key_value_heads=encoder_heads,
                head_dim=HEAD_DIM,
                intermediate_size=4 * encoder_width,
            ),
            decoder=DecoderConfig(
                num_hidden_layers=4,
                hidden_size=decoder_width,
                num_attention_heads=heads,
                num_key_value_heads=heads // 4,
                head_dim=HEAD_DIM,
                cross_num_attention_heads=heads,
                cross_num_key_value_heads=heads,
                cross_head_dim=HEAD_DIM,
                intermediate_size=4 * decoder_width,
            ),
        )
    )
    initialize(model, seed=0)
    with torch.no_grad():
        model.logits_dense.weight.mul_(20)
        model.logits_dense.weight[model.config.layout.eos_id] = 0
    return model.eval()


def texts(batch_size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(97, 123, (batch_size, TEXT_BYTES), generator=generator)


def speak_theirs(
    theirs: DiaForConditionalGeneration, ours: DiaModel, batch: int, frames: int, mode: str
) -> list[torch.Tensor]:
    layout = ours.config.layout
    begin = delay_codes(torch.empty(0, 9, dtype=torch.long), layout, complete=False)
    begin_BTC = begin[None].repeat(batch, 1, 1)
    settings = MODES[mode]
    draws = {"temperature": settings.temperature, "top_p": settings.top_p}
    sequences = theirs.generate(
        input_ids=texts(batch),
        attention_mask=torch.ones(batch, TEXT_BYTES, dtype=torch.long),
        decoder_input_ids=begin_BTC,
        decoder_attention_mask=torch.ones_like(begin_BTC[..., 0]),
        do_sample=mode == "sampled",
        guidance_scale=settings.cfg_scale,
        top_k=settings.top_k,
        max_length=frames + 2,
        **(draws if mode == "sampled" else {}),
    )
    return [undelay_codes(sequence, layout) for sequence in sequences]


def speak_ours(ours: DiaModel, batch: int, frames: int, mode: str) -> list[torch.Tensor]:
    requests = [Request(row.tolist(), seed=i) for i, row in enumerate(texts(batch))]
    results = generate_codes(ours, requests, MODES[mode], max_frames=frames)
    return [result.codes for result in results]


def timed(speak: Callable[[], list[torch.Tensor]]) -> tuple[float, float, list[torch.Tensor]]:
    wall, cpu = time.perf_counter(), time.process_time()
    codes = speak()
    return time.perf_counter() - wall, time.process_time() - cpu, codes


def measure(size: str, batch: int, mode: str, arguments: argparse.Namespace) -> None:
    ours, frames = build(*SIZES[size]), arguments.frames
    config = TransformersConfig.from_dict(to_transformers_config(ours.config))
    theirs = DiaForConditionalGeneration(config).eval()
    theirs.load_state_dict(ours.state_dict())
    speak_ours(ours, batch, 8, mode)
    speak_theirs(theirs, ours, batch, 8, mode)
    rounds = []
    for _ in range(arguments.repeats):
        their_wall, their_cpu, expected = timed(
            lambda: speak_theirs(theirs, ours, batch, frames, mode)
        )
        our_wall, our_cpu, actual = timed(lambda: speak_ours(ours, batch, frames, mode))
        assert all(len(codes) == frames for codes in (*expected, *actual))
        is_same = all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
        rounds.append((their_wall, our_wall, their_cpu, our_cpu, is_same))
    their_wall, our_wall, their_cpu, our_cpu = (
        statistics.median(one[column] for one in rounds) for column in range(4)
    )
    same = "" if mode == "sampled" else "yes" if all(one[4] for one in rounds) else "no"
    wall_ratio = statistics.median(one[0] / one[1] for one in rounds)
    cpu_ratio = statistics.median(one[2] / one[3] for one in rounds)
    said = batch * frames
    print(
        f"| {size} | {batch} | {mode} | {said / their_wall:.0f} | {said / our_wall:.0f} "
        f"| {wall_ratio:.2f} | {said / their_cpu:.0f} | {said / our_cpu:.0f} | {cpu_ratio:.2f} "
        f"| {same} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--frames", type=int, default=516)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        "| size | batch | mode | theirs, frames/s | ours, frames/s | ratio "
        "| theirs, frames/CPU s | ours, frames/CPU s | ratio | same codes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        for batch in arguments.batches:
            for mode in arguments.modes:
                measure(size, batch, mode, arguments)


if __name__ == "__main__":
    main()
