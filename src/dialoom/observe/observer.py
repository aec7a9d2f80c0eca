"""RunObserver: where a trainer sends what happens. One call a record, however many listen.

metrics.jsonl must succeed: an error there stops the run. Everything else is optional: a sink that
fails is dropped, the run's record says so once, and training goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float32

from dialoom.observe.metrics import MetricsLog
from dialoom.observe.progress import Progress, format_seconds, open_progress
from dialoom.observe.records import (
    DataRecord,
    EventRecord,
    Record,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.observe.tensorboard import TensorBoardSink

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIRECTORY = "tensorboard"


@runtime_checkable
class Sink(Protocol):
    """An optional listener. It may fail; then it is not called again."""

    name: str

    def train(self, record: TrainRecord) -> None: ...

    def valid(self, record: ValidRecord) -> None: ...

    def speech(self, record: SpeechRecord) -> None: ...

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None: ...

    def event(self, record: EventRecord) -> None: ...

    def close(self) -> None: ...


class RunObserver:
    """Sends every record to the log, to all sinks and to the progress display.

    Args:
        log: the run's record.
        progress: what the person at the terminal sees.
        sinks: optional listeners.
    """

    def __init__(self, log: MetricsLog, progress: Progress, sinks: list[Sink]) -> None:
        self._log = log
        self._progress = progress
        self._sinks = list(sinks)
        self._step = 0

    @classmethod
    def open(
        cls, run_dir: Path, *, total_steps: int, resume_step: int | None, tensorboard: bool = True
    ) -> Self:
        """The usual set for a run's directory.

        Args:
            run_dir: made if it does not exist.
            total_steps: steps of the whole run, those before a resumption included.
            resume_step: what the run's record says of later steps is removed; None: keep all.
            tensorboard: whether to write for TensorBoard too.
        """
        log = MetricsLog(run_dir / METRICS_FILE, resume_step=resume_step)
        observer = cls(log, open_progress("train", total_steps=total_steps), [])
        observer._step = resume_step or 0
        if tensorboard:
            directory = run_dir / TENSORBOARD_DIRECTORY
            observer.add_sink(
                TensorBoardSink.name, lambda: TensorBoardSink(directory, resume_step=resume_step)
            )
        return observer

    def add_sink(self, name: str, make: Callable[[], Sink]) -> None:
        """Makes a sink; one that cannot be made is reported as one that fails."""
        try:
            self._sinks.append(make())
        except Exception as error:
            self._report_failure(name, error)

    def train(self, record: TrainRecord) -> None:
        self._write(record)
        self._send(lambda sink: sink.train(record))
        self._progress.update(record.step, describe_step(record))

    def valid(self, record: ValidRecord) -> None:
        self._write(record)
        self._send(lambda sink: sink.valid(record))
        self._progress.note(
            f"step {record.step}: validation loss {record.loss:.3f} per channel, "
            f"channel 0 {record.loss_channels[0]:.3f}, on {record.num_clips} clips"
        )

    def speech(self, record: SpeechRecord) -> None:
        self._write(record)
        self._send(lambda sink: sink.speech(record))
        self._progress.note(
            f"step {record.step}: of {record.num_utterances} validation texts spoken "
            f"{record.retrieval:.0%} are nearest to their own clip, {record.stopped:.0%} stopped, "
            f"{record.length:.0%} are as long, distortion {record.distortion_db:.1f} dB"
        )

    def data(self, record: DataRecord) -> None:
        """Is written down; it is no curve."""
        self._write(record)

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        self._write(record)
        self._send(lambda sink: sink.sample(record, samples, sample_rate_hz=sample_rate_hz))
        ending = "stopped by itself" if record.stopped else "did not stop by itself"
        self._progress.note(
            f"step {record.step}: sample '{record.name}', {record.num_frames} frames, {ending}"
        )

    def event(self, record: EventRecord) -> None:
        self._write(record)
        self._send(lambda sink: sink.event(record))
        self._progress.note(f"step {record.step}: {record.message}")

    def close(self) -> None:
        while self._sinks:
            self._try(self._sinks.pop(), lambda sink: sink.close())
        self._progress.close()
        self._log.close()

    def _write(self, record: Record) -> None:
        self._step = record.step
        self._log.write(record)

    def _send(self, call: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            if sink in self._sinks:  # it may have failed just now, on the report of another failure
                self._try(sink, call)

    def _try(self, sink: Sink, call: Callable[[Sink], None]) -> None:
        try:
            call(sink)
        except Exception as error:
            self._sinks = [other for other in self._sinks if other is not sink]
            self._report_failure(sink.name, error)

    def _report_failure(self, name: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        self.event(EventRecord(self._step, f"{name} failed and is off from here on ({reason})"))


class SilentObserver(RunObserver):
    """Of the ranks that leave the talking to the first."""

    def __init__(self) -> None:
        pass

    def train(self, record: TrainRecord) -> None:
        pass

    def valid(self, record: ValidRecord) -> None:
        pass

    def speech(self, record: SpeechRecord) -> None:
        pass

    def data(self, record: DataRecord) -> None:
        pass

    def add_sink(self, name: str, make: Callable[[], Sink]) -> None:
        pass

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        pass

    def event(self, record: EventRecord) -> None:
        pass

    def close(self) -> None:
        pass


def describe_step(record: TrainRecord) -> str:
    """What the progress display says of a step."""
    return (
        f"loss {record.loss:.3f}  {record.audio_seconds_per_second:.1f} audio-s/s  "
        f"{format_seconds(record.seconds_left)} left"
    )
