"""wandb and trackio get what TensorBoard gets, through the calls that both have."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import tiny_recipe

from dialoom.errors import MissingExtra
from dialoom.observe import (
    RunObserver,
    SampleRecord,
    SpeechRecord,
    TrackerSink,
    TrainRecord,
    ValidRecord,
    check_trackers,
    read_metrics,
)
from dialoom.recipe import Recipe, run_recipe

TRAIN = TrainRecord(
    step=3,
    epoch=0.5,
    loss=2.5,
    loss_channels=(2.0, 3.0),
    accuracy_channels=(0.5, 0.25),
    eos_loss=float("nan"),
    eos_recall=float("nan"),
    lr=1e-4,
    grad_norm=1.0,
    audio_seconds=8.0,
    audio_seconds_per_second=16.0,
    seconds_left=125.0,
    block_norms={"decoder.layers.0": 0.5},
    peak_memory_gib=1.5,
)
VALID = ValidRecord(3, 2.25, (2.0, 2.5), (0.5, 0.5), 1.0, 0.75, num_clips=4, text_gain=0.125)
SPEECH = SpeechRecord(3, 8, retrieval=0.5, stopped=1.0, length=0.75, distortion_db=5.0)
SAMPLE = SampleRecord(3, "hello", "[S1] Hello.", "a.wav", num_frames=9, stopped=True)
SOUND = np.linspace(-2, 2, 4410, dtype=np.float32)


class FakeService(ModuleType):
    """The calls that dialoom makes, as wandb 0.31 and trackio 0.43 take them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, Any]] = []
        self.metrics: list[tuple[str, str]] = []

    def init(self, *, project: str, name: str, config: dict, resume: str, **more: str) -> Any:
        assert set(more) == ({"id", "dir"} if self.__name__ == "wandb" else set())
        self.calls.append(("init", {"project": project, "name": name, "resume": resume, **more}))
        self.config = config
        return SimpleNamespace(
            define_metric=lambda name, *, step_metric: self.metrics.append((name, step_metric))
        )

    def log(self, values: dict, step: int | None = None) -> None:
        self.calls.append(("log", (values, step)))

    def finish(self) -> None:
        self.calls.append(("finish", None))

    def Audio(self, value: np.ndarray, *, sample_rate: int, caption: str) -> Any:
        return SimpleNamespace(value=value, sample_rate=sample_rate, caption=caption)

    def Image(self, value: Any, *, caption: str) -> Any:
        return SimpleNamespace(size=value.size, mode=value.mode, caption=caption)


@pytest.fixture(params=["wandb", "trackio"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService(request.param)
    fake.__spec__ = SimpleNamespace(name=request.param)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, request.param, fake)
    return fake


def _send(sink: Any) -> None:
    sink.train(TRAIN)
    sink.valid(VALID)
    sink.speech(SPEECH)
    sink.sample(SAMPLE, SOUND, sample_rate_hz=44_100)
    sink.close()


def test_a_service_gets_the_curves_sounds_and_pictures_of_tensorboard(
    tmp_path: Path, service: FakeService
) -> None:
    observer = RunObserver.open(tmp_path, total_steps=5, resume_step=None)
    sink = TrackerSink(service.__name__, tmp_path, project="voices", settings={"train": {"lr": 1}})
    observer.add_sink(service.__name__, lambda: sink)
    _send(observer)
    assert not read_metrics(tmp_path / "metrics.jsonl").events
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged: dict[str, Any] = {}
    for call, content in service.calls:
        if call == "log":
            values, step = content
            assert (step if step is not None else values.pop("step")) == 3
            logged |= values
    curves = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert {tag: logged[tag] for tag in curves} == pytest.approx(curves)
    assert set(logged) - set(curves) == {"samples/hello", "samples/hello/spectrogram"}
    assert curves["valid/text_gain"] == 0.125
    assert curves["speech/distortion_db"] == 5.0
    assert curves["memory/peak_gib"] == 1.5
    assert "train/eos/loss" not in curves
    sound, picture = logged["samples/hello"], logged["samples/hello/spectrogram"]
    assert (sound.sample_rate, sound.caption, sound.value.dtype) == (44_100, SAMPLE.text, np.int16)
    assert (sound.value.min(), sound.value.max()) == (-32767, 32767)
    (drawn,) = events.Images("samples/hello")
    assert (picture.mode, picture.size) == ("RGB", (drawn.width, drawn.height))
    assert service.config == {"train": {"lr": 1}}
    assert service.calls[-1][0] == "finish"


def test_a_resumed_run_is_the_same_run(tmp_path: Path, service: FakeService) -> None:
    for _ in range(2):
        TrackerSink(service.__name__, tmp_path, project="voices", settings={}).close()
    first, second = (content for call, content in service.calls if call == "init")
    assert first == second
    assert (first["name"], first["resume"]) == (tmp_path.name, "allow")
    assert service.metrics == ([("*", "step")] * 2 if service.__name__ == "wandb" else [])
    TrackerSink(service.__name__, tmp_path.parent, project="voices", settings={})
    assert service.calls[-1][1] != first


def test_one_line_of_the_recipe_is_enough(tmp_path: Path, service: FakeService) -> None:
    recipe = _with_trackers(tiny_recipe(tmp_path, steps=2, valid_every=2), service.__name__)
    run_recipe(recipe, tmp_path / "run")
    kinds = [call for call, _ in service.calls]
    assert kinds == ["init", "log", "log", "log", "log", "finish"]  # valid 0, train 1, 2, valid 2
    assert service.calls[0][1]["project"] == "dialoom"
    assert service.config["train"]["steps"] == 2


def test_a_service_that_fails_costs_no_step(
    tmp_path: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the host")

    monkeypatch.setattr(service, "log", fail)
    recipe = _with_trackers(tiny_recipe(tmp_path, steps=2), service.__name__)
    assert run_recipe(recipe, tmp_path / "run").outcome.finished
    events = [event.message for event in read_metrics(tmp_path / "run" / "metrics.jsonl").events]
    told = f"{service.__name__} failed and is off from here on (ConnectionError: no route to the"
    assert sum(message.startswith(told) for message in events) == 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_package_is_told_before_anything_is_made(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialoom.observe.tracker.find_spec", lambda _: None)
    recipe = _with_trackers(tiny_recipe(tmp_path, steps=1), name)
    with pytest.raises(MissingExtra, match=rf"needs {name}; run: pip install 'dialoom\[{name}\]'"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_trackers(())


def _with_trackers(recipe: Recipe, name: str) -> Recipe:
    observe = {"observe": {"tensorboard": False, "trackers": [name]}}
    return Recipe.model_validate({**recipe.model_dump(), **observe})
