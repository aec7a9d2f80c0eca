"""Two one-second clips, learnt by heart and said back: the whole path from audio to codes."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from tiny_run import SPEC

from dialoom.audio import Waveform, read_audio, resample, write_audio
from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.data import Corpus, PrepareOptions, prepare
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.model import DecoderConfig, DiaConfig, DiaModel, EncoderConfig, initialize
from dialoom.recipe import Recipe, run_recipe

TEXTS = ("[S1] Could you open the door", "[S2] I think the north wind")


def _base(path: Path) -> Path:
    config = DiaConfig(
        encoder=EncoderConfig(
            num_hidden_layers=2,
            hidden_size=64,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=32,
            intermediate_size=128,
        ),
        decoder=DecoderConfig(
            num_hidden_layers=2,
            hidden_size=128,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            cross_num_attention_heads=4,
            cross_num_key_value_heads=4,
            cross_head_dim=32,
            intermediate_size=256,
        ),
    )
    model = DiaModel(config)
    initialize(model, seed=0)
    save_pretrained(model, ModelInfo(), path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of two bundled clips, as the recordings of a folder."""
    source = tmp_path_factory.mktemp("source")
    for number, text in enumerate(TEXTS, start=1):
        clip = files("dialoom") / "demo_data" / "clips" / f"demo_{number:03d}.opus"
        waveform = resample(read_audio(Path(str(clip))), SPEC.sample_rate_hz)
        second = Waveform(waveform.samples[: SPEC.sample_rate_hz], SPEC.sample_rate_hz)
        write_audio(source / f"{number}.wav", second)
        (source / f"{number}.txt").write_text(text, encoding="utf-8")
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    prepare(source, out, PrepareOptions(format="folder", codec="mini", valid_fraction=0.0))
    return out


def test_two_clips_are_learnt_and_said_back(corpus: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "model": {"base": str(_base(tmp_path / "base")), "codec": "mini"},
            "data": {"corpus": str(corpus)},
            "train": {
                "steps": 200,
                "batch_size": 2,
                "lr": 5e-3,
                "warmup_steps": 20,
                "text_dropout": 0.0,
                "device": "cpu",
                "log_every": 100,
            },
            "observe": {"tensorboard": False},
        }
    )
    run_recipe(recipe, tmp_path / "run")
    synthesizer = Synthesizer.load(tmp_path / "run" / "checkpoints" / "last")
    greedy = SamplingSettings(temperature=0, cfg_scale=0, max_seconds=3)
    clips = [Corpus.open(corpus)[index] for index in range(2)]
    speeches = synthesizer.synthesize([clip.text for clip in clips], greedy)
    for clip, speech in zip(clips, speeches, strict=True):
        expected, said = clip.codes.frames, speech.codes.frames
        assert speech.stopped
        assert abs(len(said) - len(expected)) <= 0.1 * len(expected)
        shared = min(len(said), len(expected))
        assert np.mean(said[:shared, 0] == expected[:shared, 0]) >= 0.9
