"""A corpus of random codes and a small base model: all that a training needs, in a second."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from helpers import small_model

from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.codec import CodecSpec, Codes
from dialoom.data import Clip, CorpusWriter
from dialoom.recipe import Recipe

SPEC = CodecSpec("mini", "0" * 64, 44_100, 512, 9, 1024)


def write_corpus(
    path: Path,
    *,
    num_clips: int = 12,
    lengths: list[int] | None = None,
    valid_fraction: float | None = None,
    spec: CodecSpec = SPEC,
) -> Path:
    """Clips of 5, 8, 11 … frames, a third for validation; or of the lengths, all for training."""
    rng = np.random.default_rng(0)
    if valid_fraction is None:
        valid_fraction = 0.3 if lengths is None else 0.0
    lengths = lengths or [5 + 3 * i for i in range(num_clips)]
    clips = [
        Clip(
            id=f"clip-{i}",
            text=f"[S1] Sentence number {i}." + " More." * (i % 3),
            language="en" if i % 2 else None,
            speaker=None,
            codes=Codes(rng.integers(0, 1024, (length, spec.num_codebooks)).astype(np.uint16)),
        )
        for i, length in enumerate(lengths)
    ]
    writer = CorpusWriter(path, spec, valid_fraction=valid_fraction)
    writer.write(0, clips)
    writer.finish(1)
    return path


def write_base(path: Path) -> Path:
    save_pretrained(small_model(), ModelInfo(codec=SPEC), path)
    return path


def tiny_recipe(directory: Path, **train: object) -> Recipe:
    """Trains the small model for six steps, in float32, with everything that may make noise on."""
    corpus, base = directory / "corpus", directory / "base"
    if not corpus.exists():
        write_corpus(corpus)
        write_base(base)
    settings = {
        "steps": 6,
        "batch_size": 3,
        "lr": 1e-3,
        "warmup_steps": 2,
        "text_dropout": 0.3,
        "precision": "fp32",
        "device": "cpu",
        "valid_every": 3,
        "checkpoint_every": 2,
        "keep_last": 9,
        "log_every": 1,
    }
    return Recipe.model_validate(
        {
            "model": {"base": str(base)},
            "data": {"corpus": str(corpus)},
            "train": {**settings, **train},
            "observe": {"tensorboard": False},
        }
    )


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(checkpoint / "model.safetensors")


def other_codec() -> CodecSpec:
    return replace(SPEC, content_hash="1" * 64)
