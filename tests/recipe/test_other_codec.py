"""Another codec: the model's channels, ids and delays follow it, from the corpus to the sound."""

from pathlib import Path

import pytest
from fake_audio import tone
from helpers import small_config
from tiny_mimi import save_tiny_mimi

from dialoom import Synthesizer
from dialoom.checkpoint import load_model
from dialoom.codec import load_codec
from dialoom.data import Clip, CorpusWriter
from dialoom.generate import SamplingSettings
from dialoom.model import PRESETS
from dialoom.observe import read_metrics
from dialoom.recipe import load_recipe, run_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "other-codec.yaml"


def test_mimi_trains_and_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 codebooks at 12.5 frames a second, by the recipe that is shipped."""
    small = {name: small_config() for name in PRESETS}
    monkeypatch.setattr("dialoom.recipe.run.PRESETS", small)
    codec = load_codec(str(save_tiny_mimi(tmp_path / "mimi")))
    writer = CorpusWriter(tmp_path / "corpus", codec.spec, valid_fraction=0.3)
    clips = [
        Clip(
            id=f"clip-{i}",
            text="[S1] A tone.",
            language=None,
            speaker=None,
            codes=codec.encode(tone(0.8 + 0.1 * i, sample_rate_hz=24_000)),
        )
        for i in range(8)
    ]
    writer.write(0, clips)
    writer.finish(1)
    recipe = load_recipe(
        RECIPE,
        [
            f"data.corpus={tmp_path / 'corpus'}", "train.steps=2", "train.compile=false",
            "train.device=cpu", "evaluate.max_seconds=0.8", "evaluate.num_clips=1",
            "observe.tensorboard=false",
        ],
    )  # fmt: skip
    run_recipe(recipe, tmp_path / "run")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert len(metrics.train[-1].loss_channels) == 8
    assert not any("failed" in event.message for event in metrics.events)
    loaded = load_model(tmp_path / "run")
    assert loaded.model.config.layout.delay_pattern == tuple(range(8))
    assert loaded.model.config.layout.vocab_size == 64 + 4
    assert loaded.info.codec == codec.spec
    synthesizer = Synthesizer.load(str(tmp_path / "run"))
    sound = synthesizer.speak("[S1] A tone.", SamplingSettings(max_seconds=0.4))
    assert sound.sample_rate_hz == 24_000
    assert sound.num_samples % 1920 == 0
