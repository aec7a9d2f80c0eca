"""A model says how it is best sampled; a voice, and whoever speaks, may say otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import small_model
from tiny_run import SPEC

from dialoom.checkpoint import ModelInfo, load_model, save_pretrained
from dialoom.codec import Codes
from dialoom.errors import CheckpointError, GenerationError
from dialoom.generate import SamplingSettings, Synthesizer, Voice

SUITED = {"temperature": 0.5, "cfg_scale": 1.0}
VOICE = Voice(Codes(np.zeros((3, 9), np.uint16)), "[S1] Hello.", SPEC)


def synthesizer_of(sampling: dict[str, float]) -> Synthesizer:
    return Synthesizer(small_model(), ModelInfo(codec=SPEC, sampling=sampling))


def test_the_model_says_how_it_is_sampled_and_the_voice_before_it() -> None:
    suited = SamplingSettings(temperature=0.5, cfg_scale=1.0)
    assert synthesizer_of({}).settings_for(None) == SamplingSettings()
    synthesizer = synthesizer_of(SUITED)
    assert synthesizer.settings_for(None) == suited
    assert synthesizer.settings_for(VOICE) == suited
    own = SamplingSettings(temperature=0.9)
    assert synthesizer.settings_for(replace(VOICE, settings=own)) == own
    assert synthesizer.request("Hi.").settings == suited
    assert synthesizer.request("Hi.", own).settings == own


def test_it_travels_with_the_weights(tmp_path: Path) -> None:
    save_pretrained(small_model(), ModelInfo(sampling=SUITED), tmp_path / "model")
    assert load_model(tmp_path / "model").info.sampling == SUITED
    path = tmp_path / "model" / "dialoom.json"
    content = json.loads(path.read_text())
    del content["sampling"]  # as versions before wrote it
    path.write_text(json.dumps(content))
    assert load_model(tmp_path / "model").info.sampling == {}


@pytest.mark.parametrize("damage", [[1], {"temperature": "hot"}, {"heat": 1.0}, {"top_k": True}])
def test_damaged_settings_are_refused(tmp_path: Path, damage: object) -> None:
    save_pretrained(small_model(), ModelInfo(), tmp_path / "model")
    path = tmp_path / "model" / "dialoom.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sampling": damage}))
    with pytest.raises(CheckpointError, match="it must be numbers for some of temperature"):
        load_model(tmp_path / "model")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(GenerationError, match="temperature is -1"):
        synthesizer_of({"temperature": -1})
