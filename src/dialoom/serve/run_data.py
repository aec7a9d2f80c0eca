"""A run in progress as the page shows it, read from its record."""

import math
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from dialoom.audio import AUDIO_SUFFIXES, read_audio
from dialoom.observe import METRICS_FILE, RunMetrics, SampleRecord, read_metrics
from dialoom.observe.plots import spectrogram_png
from dialoom.serve.errors import ApiError

MAX_POINTS = 400
"""Of a curve; more than a screen has pixels for."""

MAX_SAMPLES = 60
MAX_EVENTS = 20

T = TypeVar("T")


class RunData:
    """The record of a run, read again when it has changed."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._stamp: tuple[int, int] | None = None
        self._metrics = RunMetrics()

    def summary(self) -> dict[str, Any]:
        """Curves, speed, time left, samples and events; numbers that are none become null.

        Raises:
            ApiError: 404, the run has written nothing yet.
            DataError: its record is damaged.
        """
        metrics = self._read()
        last = metrics.train[-1] if metrics.train else None
        age_s = time.time() - (self._run_dir / METRICS_FILE).stat().st_mtime
        return {
            "name": self._run_dir.resolve().name,
            "step": last.step if last else 0,
            "epoch": _number(last.epoch if last else 0.0),
            "seconds": metrics.seconds,
            "seconds_left": _number(last.seconds_left) if last else None,
            "speed": _number(last.audio_seconds_per_second) if last else None,
            "age_s": round(age_s, 1),
            "train": [
                {"step": r.step, "loss": _number(r.loss), "eos": _number(r.eos_loss), "lr": r.lr}
                for r in _thinned(metrics.train)
            ],
            "valid": [
                {"step": r.step, "loss": _number(r.loss), "eos": _number(r.eos_loss)}
                for r in _thinned(metrics.valid)
            ],
            "channels": [_number(x) for x in last.loss_channels] if last else [],
            "samples": [
                {"index": index, "step": r.step, "name": r.name, "text": r.text,
                 "stopped": r.stopped}
                for index, r in list(enumerate(metrics.samples))[-MAX_SAMPLES:][::-1]
            ],
            "events": [
                {"step": r.step, "message": r.message} for r in metrics.events[-MAX_EVENTS:][::-1]
            ],
        }  # fmt: skip

    def sample_path(self, index: int) -> Path:
        """The sound of a sample: an audio file within the run's directory.

        Raises:
            ApiError: 404, there is none.
        """
        samples: Sequence[SampleRecord] = self._read().samples
        if 0 <= index < len(samples):
            path = (self._run_dir / samples[index].audio_path).resolve()
            is_inside = path.is_relative_to(self._run_dir.resolve())
            if is_inside and path.suffix in AUDIO_SUFFIXES and path.is_file():
                return path
        raise ApiError(HTTPStatus.NOT_FOUND, f"the run has no sample {index}")

    def sample_picture(self, index: int) -> bytes:
        """Its spectrogram, a PNG.

        Raises:
            ApiError: 404, there is no such sample.
            AudioError: its file is damaged or silent.
        """
        waveform = read_audio(self.sample_path(index))
        return spectrogram_png(waveform.samples, sample_rate_hz=waveform.sample_rate_hz)

    def _read(self) -> RunMetrics:
        path = self._run_dir / METRICS_FILE
        if not path.is_file():
            raise ApiError(HTTPStatus.NOT_FOUND, "the run has written nothing yet")
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._metrics, self._stamp = read_metrics(path), stamp
        return self._metrics


def _thinned(records: Sequence[T]) -> list[T]:
    """At most MAX_POINTS of them, evenly spaced, the first and the last among them."""
    if len(records) <= MAX_POINTS:
        return list(records)
    last = len(records) - 1
    return [records[round(i * last / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
