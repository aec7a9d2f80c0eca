"""metrics.jsonl: what happened in a run, one JSON object a line. Every other view is made from it.

A record is written whole and flushed before the next step begins, so a run that is killed loses at
most its last line, and a reader takes a half-written last line for what it is. A run that resumes
at step n first removes what it had written after step n: those steps are done again.

Losses are raw: nats per target, channel by channel, without the weights that training may use.
Numbers that are not finite become null, because JSON has no NaN.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from dialoom.errors import DataError


@dataclass(frozen=True)
class TrainRecord:
    """One optimizer step.

    Attributes:
        step: optimizer steps done, this one included.
        epoch: passes over the corpus, as a fraction.
        loss: mean of `loss_channels`.
        loss_channels: nats per target of each channel, EOS included.
        accuracy_channels: share of targets of each channel that the arg-max hits.
        eos_loss: nats per EOS target.
        eos_recall: share of EOS targets that the arg-max hits.
        eos_recall_channels: the same of each channel; none in records of early versions.
        lr: learning rate of this step.
        grad_norm: norm of all gradients before clipping.
        audio_seconds: seconds of speech in this step's batch.
        audio_seconds_per_second: speed over the last steps.
        seconds_left: estimate until the last step.
        block_norms: gradient norm of each layer and of what is outside of layers, before clipping.
    """

    kind: ClassVar[str] = "train"
    step: int
    epoch: float
    loss: float
    loss_channels: tuple[float, ...]
    accuracy_channels: tuple[float, ...]
    eos_loss: float
    eos_recall: float
    lr: float
    grad_norm: float
    audio_seconds: float
    audio_seconds_per_second: float
    seconds_left: float
    eos_recall_channels: tuple[float, ...] = ()
    block_norms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ValidRecord:
    """One pass over the validation clips; the figures mean what they mean in `TrainRecord`."""

    kind: ClassVar[str] = "valid"
    step: int
    loss: float
    loss_channels: tuple[float, ...]
    accuracy_channels: tuple[float, ...]
    eos_loss: float
    eos_recall: float
    num_clips: int
    eos_recall_channels: tuple[float, ...] = ()


@dataclass(frozen=True)
class SampleRecord:
    """One sentence that the model said.

    Attributes:
        step: optimizer steps done before it spoke.
        name: the same for the same sentence at every step.
        text: what it was to say.
        audio_path: relative to the run's directory.
        num_frames: codec frames it produced.
        stopped: whether it ended by itself, by EOS.
        reference_path: a recording of the sentence, relative to the run's directory.
    """

    kind: ClassVar[str] = "sample"
    step: int
    name: str
    text: str
    audio_path: str
    num_frames: int
    stopped: bool
    reference_path: str | None = None


@dataclass(frozen=True)
class EventRecord:
    """Something worth telling: start, resume, a checkpoint, a sink that failed."""

    kind: ClassVar[str] = "event"
    step: int
    message: str


Record = TrainRecord | ValidRecord | SampleRecord | EventRecord


@dataclass(frozen=True)
class RunMetrics:
    """All records of a run, each kind in the order of writing.

    Attributes:
        seconds: wall clock from the first record to the last, pauses between resumptions included.
    """

    train: list[TrainRecord] = field(default_factory=list)
    valid: list[ValidRecord] = field(default_factory=list)
    samples: list[SampleRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    seconds: float = 0.0


class MetricsLog:
    """Appends records to a file.

    Args:
        path: made if it does not exist, with its directory.
        resume_step: records of later steps are removed first; None keeps all.

    Raises:
        DataError: the file that is already there is no such log.
        OSError: the disk is full or the file cannot be written; a run without record is no run.
    """

    def __init__(self, path: Path, *, resume_step: int | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _rewrite_until(path, resume_step)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: Record) -> None:
        self._file.write(encode_record(record, unix_time=time.time()) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def encode_record(record: Record, *, unix_time: float) -> str:
    """One line, without its end."""
    line = {"kind": record.kind, "time": round(unix_time, 3), **asdict(record)}
    return json.dumps(_null_for_nan(line), ensure_ascii=False, allow_nan=False)


def decode_record(line: Mapping[str, Any]) -> Record:
    """Inverse of `encode_record`, from the parsed line; null in a number's place is NaN again.

    Raises:
        ValueError: the line is of no known kind, or a field is missing.
    """
    record_type = _TYPES.get(str(line.get("kind")))
    if record_type is None:
        raise ValueError(f"unknown kind {line.get('kind')!r}")
    needed = [f for f in fields(record_type) if f.default is f.default_factory is MISSING]
    missing = [f.name for f in needed if f.name not in line]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    values = {f.name: _restore(line[f.name], f.type) for f in fields(record_type) if f.name in line}
    return record_type(**values)


def read_metrics(path: Path) -> RunMetrics:
    """All of a run.

    Raises:
        DataError: there is no such file, or a line other than the last is damaged.
    """
    metrics = RunMetrics()
    lines = _read_lines(path)
    for number, line in enumerate(lines, start=1):
        try:
            record = decode_record(line)
        except ValueError as error:
            raise DataError(
                f"{path}: line {number} is no record of a run ({error}): remove the line"
            ) from error
        match record:
            case TrainRecord():
                metrics.train.append(record)
            case ValidRecord():
                metrics.valid.append(record)
            case SampleRecord():
                metrics.samples.append(record)
            case EventRecord():
                metrics.events.append(record)
    times = [float(line["time"]) for line in lines if "time" in line]
    seconds = times[-1] - times[0] if times else 0.0
    return RunMetrics(metrics.train, metrics.valid, metrics.samples, metrics.events, seconds)


_TYPES: Mapping[str, type[Record]] = {
    record_type.kind: record_type
    for record_type in (TrainRecord, ValidRecord, SampleRecord, EventRecord)
}


def _null_for_nan(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _null_for_nan(item) for key, item in value.items()}
        case list() | tuple():
            return [_null_for_nan(item) for item in value]
        case _:
            return value


def _restore(value: Any, annotation: Any) -> Any:
    if annotation is float:
        return math.nan if value is None else float(value)
    if annotation == dict[str, float]:
        return {key: _restore(item, float) for key, item in value.items()}
    if annotation == tuple[float, ...]:
        return tuple(math.nan if item is None else float(item) for item in value)
    return value


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        raw_lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; a run writes it") from None
    lines: list[dict[str, Any]] = []
    for number, raw_line in enumerate(raw_lines, start=1):
        try:
            line = json.loads(raw_line)
        except ValueError as error:
            if number == len(raw_lines):
                break
            raise DataError(f"{path}: line {number} is not JSON: remove the line") from error
        if not isinstance(line, dict):
            raise DataError(f"{path}: line {number} is not a JSON object: remove the line")
        lines.append(line)
    return lines


def _rewrite_until(path: Path, last_step: int | None) -> None:
    """Keeps whole lines up to a step. The new file takes the old one's place in one rename."""
    kept = [
        line
        for line in _read_lines(path)
        if last_step is None or not isinstance(line.get("step"), int) or line["step"] <= last_step
    ]
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
