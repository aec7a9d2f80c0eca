"""ReportSink: the report while the run goes on."""

import time
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from dialoom.evaluate import write_report
from dialoom.observe import EventRecord, SampleRecord, SpeechRecord, TrainRecord, ValidRecord

SHORTEST_PAUSE_S = 60.0

PAUSE_PER_SECOND = 50.0
"""The report may take a fiftieth of the training's time."""


class ReportSink:
    """Writes `report.html` anew now and then; the run itself writes the last one."""

    name = "the report"

    def __init__(self, run_dir: Path) -> None:
        """Takes the run's directory."""
        self._run_dir = run_dir
        self._due_s = time.monotonic() + SHORTEST_PAUSE_S

    def train(self, record: TrainRecord) -> None:
        started_s = time.monotonic()
        if started_s < self._due_s:
            return
        write_report(self._run_dir)
        now_s = time.monotonic()
        self._due_s = now_s + max(SHORTEST_PAUSE_S, PAUSE_PER_SECOND * (now_s - started_s))

    def valid(self, record: ValidRecord) -> None:
        """Is in the report that follows the next step."""

    def speech(self, record: SpeechRecord) -> None:
        """As `valid`."""

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        """As `valid`."""

    def event(self, record: EventRecord) -> None:
        """As `valid`."""

    def close(self) -> None:
        """Nothing is held open."""
