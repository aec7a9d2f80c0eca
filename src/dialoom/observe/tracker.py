"""TrackerSink: the same for wandb and trackio, whose calls are wandb's.

Neither is imported before a recipe asks for it. Who is logged in, and whether anything leaves this
machine, is their own business: `wandb login`, WANDB_MODE=offline, TRACKIO_DIR.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from jaxtyping import Float32

from dialoom.errors import MissingExtra
from dialoom.observe.records import (
    EventRecord,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.observe.scalars import scalars

STEP = "step"
"""The axis of all curves. Their own count of calls would not know of a run that goes back."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuses early what could not be imported later.

    Raises:
        MissingExtra: a package is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingExtra(f"observe.trackers: {name}", name, name)


class TrackerSink:
    """One run of one service, which goes on when the run is resumed."""

    def __init__(
        self, name: str, run_dir: Path, *, project: str, settings: Mapping[str, Any]
    ) -> None:
        """Opens it.

        Args:
            name: wandb or trackio, which is installed.
            run_dir: its name is the run's; wandb's id of the run is kept there.
            project: what runs are grouped by.
            settings: of the run, for tables that compare runs.
        """
        self.name = name
        self._module = import_module(name)
        options: dict[str, Any] = {"project": project, "name": run_dir.name, "resume": "allow"}
        if name == "wandb":
            options |= {"id": _kept_id(run_dir / "wandb.id"), "dir": str(run_dir)}
        self._run = self._module.init(config=dict(settings), **options)
        if name == "wandb":
            self._run.define_metric("*", step_metric=STEP)

    def train(self, record: TrainRecord) -> None:
        self._log(scalars(record), record.step)

    def valid(self, record: ValidRecord) -> None:
        self._log(scalars(record), record.step)

    def speech(self, record: SpeechRecord) -> None:
        self._log(scalars(record), record.step)

    def sample(
        self, record: SampleRecord, samples: Float32[np.ndarray, " N"], *, sample_rate_hz: int
    ) -> None:
        from dialoom.observe.plots import spectrogram  # matplotlib takes its time

        clipped = (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        picture = spectrogram(samples, sample_rate_hz=sample_rate_hz).convert("RGB")
        sound = self._module.Audio(clipped, sample_rate=sample_rate_hz, caption=record.text)
        image = self._module.Image(picture, caption=record.text)
        tag = f"samples/{record.name}"
        self._log({tag: sound, f"{tag}/spectrogram": image}, record.step)

    def event(self, record: EventRecord) -> None:
        """Events are no curve; they are in metrics.jsonl."""

    def close(self) -> None:
        self._module.finish()

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        if self.name == "wandb":
            self._module.log({**values, STEP: step})
        else:
            self._module.log(dict(values), step=step)


def _kept_id(path: Path) -> str:
    """The same for the whole life of a run."""
    if not path.exists():
        path.write_text(uuid4().hex, encoding="ascii")
    return path.read_text(encoding="ascii").strip()
