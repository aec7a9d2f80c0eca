"""One call a record reaches every listener; one that fails is off, and training goes on."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dialoom.observe import MetricsLog, RunObserver, SampleRecord, TrainRecord, read_metrics
from dialoom.observe.progress import LogProgress

RECORD = TrainRecord(
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
)
SAMPLE = SampleRecord(
    step=3, name="hello", text="[S1] Hello.", audio_path="a.wav", num_frames=9, stopped=True
)
SAMPLES = np.linspace(-2, 2, 4410, dtype=np.float32)


class FailingSink:
    """Fails at everything."""

    name = "the failing sink"

    def __init__(self):
        self.calls = 0

    def train(self, record):
        self._fail()

    def valid(self, record):
        self._fail()

    def speech(self, record):
        self._fail()

    def sample(self, record, samples, *, sample_rate_hz):
        self._fail()

    def event(self, record):
        self._fail()

    def close(self):
        self._fail()

    def _fail(self):
        self.calls += 1
        raise ConnectionError("no route to the host")


class CountingSink(FailingSink):
    """Fails at nothing."""

    name = "the counting sink"

    def _fail(self):
        self.calls += 1


def make_observer(run_dir: Path, sinks: list) -> tuple[RunObserver, io.StringIO]:
    stream = io.StringIO()
    log = MetricsLog(run_dir / "metrics.jsonl", resume_step=None)
    return RunObserver(
        log, LogProgress("train", total_steps=5, console=Console(file=stream)), sinks
    ), stream


def test_tensorboard_gets_scalars_and_sound(tmp_path):
    observer = RunObserver.open(tmp_path, total_steps=5, resume_step=None)
    observer.train(RECORD)
    observer.sample(SAMPLE, SAMPLES, sample_rate_hz=44_100)
    observer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (point,) = events.Scalars("train/loss/channel_1")
    assert (point.step, point.value) == (3, 3.0)
    assert "train/eos/loss" not in events.Tags()["scalars"]
    (sound,) = events.Audio("samples/hello")
    assert sound.sample_rate == 44_100
    assert len(sound.encoded_audio_string) > 2 * 4410


def test_failing_sinks_are_off_after_one_report_each(tmp_path):
    failing = [FailingSink(), FailingSink()]
    counting = CountingSink()
    observer, stream = make_observer(tmp_path, [failing[0], counting, failing[1]])
    observer.train(RECORD)
    observer.train(RECORD)
    observer.close()
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    assert len(metrics.train) == 2
    assert [event.message for event in metrics.events] == [
        "the failing sink failed and is off from here on (ConnectionError: no route to the host)"
    ] * 2
    assert counting.calls == 2 + 2 + 1  # steps, reports, close
    assert "failed and is off" in stream.getvalue()


def test_a_sink_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    observer = RunObserver.open(tmp_path, total_steps=5, resume_step=None)
    observer.train(RECORD)
    observer.close()
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    assert metrics.events[0].message.startswith("TensorBoard failed and is off")
    assert len(metrics.train) == 1


def test_an_error_of_the_record_itself_stops_the_run(tmp_path):
    observer, _ = make_observer(tmp_path, [])
    observer._log.close()
    with pytest.raises(ValueError, match="closed file"):
        observer.train(RECORD)
