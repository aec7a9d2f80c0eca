"""Random requests to speak, good and bad: each gives audio or one line, and memory stays flat.

    python benchmarks/generate_random.py [--requests 1000]

A tiny model with random weights and the bundled codec. Prints what came of the requests and the
resident memory at a tenth of them and at the end. The tests run the first sixty.
"""

import argparse
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dialoom.audio.waveform import Waveform
from dialoom.checkpoint import ModelInfo
from dialoom.codec import load_codec
from dialoom.errors import UserError
from dialoom.generate import SamplingSettings, Synthesizer, VoicePrompt
from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, initialize

NAN, INFINITY = float("nan"), float("inf")
WORDS = ["[S1]", "[S2]", "hello", "schöne", "Füße", "(laughs)", "…", "世界", "a", "42%", "\n", "🎉"]
BAD_TEXTS = ["", "   ", "\x01", "a\x00b", "[S9] who?", "x" * 2000, "[S1]", "[S1] [S2]"]


def tiny_synthesizer() -> Synthesizer:
    heads: dict[str, Any] = {"num_attention_heads": 2, "head_dim": 16, "hidden_size": 32}
    model = DiaModel(
        DiaConfig(
            encoder=EncoderConfig(
                num_hidden_layers=1, num_key_value_heads=2, intermediate_size=64, **heads
            ),
            decoder=DecoderConfig(
                num_hidden_layers=2,
                num_key_value_heads=1,
                cross_num_attention_heads=2,
                cross_num_key_value_heads=2,
                cross_head_dim=16,
                intermediate_size=64,
                **heads,
            ),
        )
    )
    initialize(model, seed=0)
    with torch.no_grad():
        model.logits_dense.weight.mul_(20)
        model.logits_dense.weight[model.config.layout.eos_id].mul_(2.5)
    codec = load_codec("mini")
    return Synthesizer(model.eval(), ModelInfo(codec=codec.spec), codec)


def random_text(draw: random.Random) -> str:
    if draw.random() < 0.15:
        return draw.choice(BAD_TEXTS)
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 40)))


def random_settings(draw: random.Random) -> dict[str, float | int | None]:
    """Mostly good ones; about a quarter of all requests has a bad one."""
    settings: dict[str, float | int | None] = {
        "temperature": draw.choice([0, 0.5, 1.3, 1.8, 50.0, 1e-30]),
        "top_p": draw.choice([0.01, 0.5, 0.95, 1.0]),
        "top_k": draw.choice([0, 1, 2, 45, 1028, 10**9]),
        "cfg_scale": draw.choice([0, 1.0, 3.0, 1e30]),
        "max_seconds": draw.choice([0.001, 0.1, 0.3, 0.5]),
        "seed": draw.choice([0, 1, draw.randrange(2**62)]),
    }
    if draw.random() < 0.25:
        name = draw.choice(list(settings))
        bad = [-1, 0, 2**70] if name in ("top_k", "seed") else [-1, NAN, INFINITY, 0, 2**70, -0.5]
        settings[name] = draw.choice(bad)
        if settings["max_seconds"] in (2**70, INFINITY):
            settings["max_seconds"] = 0.5
    return settings


def random_prompt(draw: random.Random, rate_hz: int) -> VoicePrompt | None:
    if draw.random() < 0.7:
        return None
    num_samples = draw.choice([0, 1, 400, rate_hz // 5, rate_hz // 2])
    noise = np.random.default_rng(draw.randrange(1000)).uniform(-0.5, 0.5, num_samples)
    rate = draw.choice([8000, 16000, rate_hz])
    return VoicePrompt(Waveform(noise.astype(np.float32), rate), draw.choice(["", "[S1] ja.", "x"]))


def ask(synthesizer: Synthesizer, draw: random.Random) -> str:
    """What came of one request: "audio", or the kind of the error. Any other end is a bug."""
    try:
        waveform = synthesizer.speak(
            random_text(draw),
            SamplingSettings(**random_settings(draw)),  # type: ignore[arg-type]
            prompt=random_prompt(draw, synthesizer.codec_spec.sample_rate_hz),
            language=draw.choice([None, None, None, "de", "xx"]),
        )
    except UserError as error:
        assert str(error) and "\n" not in str(error), repr(error)
        return type(error).__name__
    assert waveform.num_samples > 0
    assert np.isfinite(waveform.samples).all()
    return "audio"


def resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    count = parser.parse_args().requests
    synthesizer, draw, ends = tiny_synthesizer(), random.Random(0), Counter[str]()
    for number in range(1, count + 1):
        ends[ask(synthesizer, draw)] += 1
        if number in (count // 10, count // 2, count):
            print(f"{number} requests: {dict(ends)}, {resident_mib():.0f} MiB resident", flush=True)


if __name__ == "__main__":
    main()
