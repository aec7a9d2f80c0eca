"""Six small trainings, each with one thing wrong or none: what the verdict is asked to tell.

The speech is made of codes alone. A text is a word of three letters; each letter rules the next
frames and says which codes each channel has, half of them at random. So who reads the text knows
more than who continues the codes, and nobody can know all.
"""

import random
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from dialoom.checkpoint import ModelInfo, load_pretrained, save_pretrained
from dialoom.codec import CodecSpec, Codes
from dialoom.data import Clip, CorpusWriter, batch
from dialoom.errors import TrainingDiverged
from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, Revision, initialize
from dialoom.recipe import Recipe, run_recipe
from dialoom.sequence import IGNORE_INDEX, TokenLayout, layout_for

LETTERS = "abcdefgh"
LETTERS_PER_TEXT = 3
FRAMES_PER_LETTER = 4
CODES_PER_LETTER = 8
CHANNELS = 3

SPEC = CodecSpec("planted", "0" * 64, 8_000, 640, CHANNELS, 1024)


def write_corpus(path: Path, *, num_clips: int, shuffled: bool = False, seed: int = 0) -> Path:
    """A third of the clips is for validation."""
    rng = np.random.default_rng(seed)
    codes_of = (
        np.random.default_rng(1)
        .permuted(np.tile(np.arange(1024), (CHANNELS, 1)), axis=1)[
            :, : len(LETTERS) * CODES_PER_LETTER
        ]
        .reshape(CHANNELS, len(LETTERS), CODES_PER_LETTER)
    )
    words = rng.integers(0, len(LETTERS), (num_clips, LETTERS_PER_TEXT))
    texts = ["".join(LETTERS[letter] for letter in word) for word in words]
    if shuffled:
        random.Random(seed).shuffle(texts)
    clips = []
    for number, (word, text) in enumerate(zip(words, texts, strict=True)):
        letters = np.repeat(word, FRAMES_PER_LETTER)
        drawn = rng.integers(0, CODES_PER_LETTER, (len(letters), CHANNELS))
        frames = np.stack([codes_of[c, letters, drawn[:, c]] for c in range(CHANNELS)], axis=1)
        clips.append(
            Clip(f"clip-{number}", f"[S1]{text}", None, None, Codes(frames.astype(np.uint16)))
        )
    writer = CorpusWriter(path, SPEC, valid_fraction=0.3)
    writer.write(0, clips)
    writer.finish(1)
    return path


def write_base(path: Path, revision: Revision = Revision.JUNE_2025) -> Path:
    """Knows nothing yet."""
    config = DiaConfig(
        encoder=EncoderConfig(
            num_hidden_layers=1,
            hidden_size=32,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            intermediate_size=64,
        ),
        decoder=DecoderConfig(
            num_hidden_layers=2,
            hidden_size=48,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=24,
            cross_num_attention_heads=2,
            cross_num_key_value_heads=2,
            cross_head_dim=24,
            intermediate_size=96,
        ),
        layout=layout_for(
            num_codebooks=CHANNELS,
            codebook_size=1024,
            frames_per_second=SPEC.frames_per_second,
        ),
        revision=revision,
    )
    model = DiaModel(config)
    initialize(model, seed=0)
    save_pretrained(model, ModelInfo(codec=SPEC), path)
    return path


def planted_recipe(base: Path, corpus: Path, **train: object) -> Recipe:
    settings = {
        "steps": 120,
        "batch_size": 16,
        "lr": 5e-3,
        "warmup_steps": 20,
        "text_dropout": 0.1,
        "precision": "fp32",
        "device": "cpu",
        "valid_every": 30,
        "checkpoint_every": 1000,
        "log_every": 5,
        "batching": "padded",
    }
    return Recipe.model_validate(
        {
            "model": {"base": str(base)},
            "data": {"corpus": str(corpus)},
            "train": {**settings, **train},
            "evaluate": {"max_valid_clips": 48},
            "observe": {"tensorboard": False},
        }
    )


class PlantedRuns:
    """Trains when it is asked."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._base = write_base(directory / "base")
        self._good = write_corpus(directory / "good", num_clips=400)

    def healthy(self) -> Path:
        return self._train("healthy", self._base, self._good)

    def overfitted(self) -> Path:
        few = write_corpus(self._directory / "few", num_clips=100)
        return self._train("overfitted", self._base, few, steps=150)

    def shuffled(self) -> Path:
        corpus = write_corpus(self._directory / "shuffled", num_clips=400, shuffled=True)
        return self._train("shuffled", self._base, corpus)

    def endless(self) -> Path:
        """As of clips that are all cut: EOS is no target."""

        def without_end(steps_TC: Tensor, layout: TokenLayout) -> Tensor:
            return targets(steps_TC, layout).masked_fill(steps_TC == layout.eos_id, IGNORE_INDEX)

        targets = batch._targets
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch, "_targets", without_end)
            return self._train("endless", self._base, self._good, steps=90)

    def misread(self) -> Path:
        """Fine-tunes what was trained in the mathematics of April 2025 as if it were of June."""
        saved = load_pretrained(self.april)
        misread = DiaModel(replace(saved.model.config, revision=Revision.JUNE_2025))
        misread.load_state_dict(saved.model.state_dict())
        save_pretrained(misread, saved.info, self._directory / "misread-base")
        return self._fine_tune("misread", self._directory / "misread-base")

    def read_right(self) -> Path:
        """The same in its own mathematics."""
        return self._fine_tune("read-right", self.april)

    def too_fast(self) -> Path:
        """The same at a hundred times the rate."""
        return self._fine_tune("too-fast", self.april, lr=0.1)

    def shuffled_fine_tuning(self) -> Path:
        """The same on transcripts that belong to other clips."""
        corpus = write_corpus(self._directory / "shuffled-2", num_clips=400, shuffled=True)
        return self._train("shuffled-fine-tuning", self.april, corpus, steps=40, lr=1e-3)

    @cached_property
    def april(self) -> Path:
        """A model of revision 2025-04 that reads."""
        base = write_base(self._directory / "april", Revision.APRIL_2025)
        return self._train("april-run", base, self._good) / "checkpoints" / "last"

    def _fine_tune(self, name: str, base: Path, *, lr: float = 1e-3) -> Path:
        return self._train(name, base, self._good, steps=40, lr=lr)

    def _train(self, name: str, base: Path, corpus: Path, **train: object) -> Path:
        with suppress(TrainingDiverged):
            run_recipe(planted_recipe(base, corpus, **train), self._directory / f"{name}-run")
        return self._directory / f"{name}-run"
