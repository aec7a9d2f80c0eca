"""metrics.jsonl: what happened in a run, one JSON object a line. Every other view is made from it.

A record is written whole and flushed before the next step begins, so a run that is killed loses at
most its last line, and a reader takes a half-written last line for what it is. A run that resumes
at step n first removes what it had written after step n: those steps are done again.

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
from typing import Any, Self, TypeVar

from dialoom.errors import DataError
from dialoom.observe.records import (
    DataRecord,
    EventRecord,
    Record,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)

T = TypeVar("T")


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
    speech: list[SpeechRecord] = field(default_factory=list)
    data: list[DataRecord] = field(default_factory=list)


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
    records: list[Record] = []
    lines = _read_lines(path)
    for number, line in enumerate(lines, start=1):
        try:
            records.append(decode_record(line))
        except ValueError as error:
            raise DataError(
                f"{path}: line {number} is no record of a run ({error}): remove the line"
            ) from error
    times = [float(line["time"]) for line in lines if "time" in line]

    def all_of(record_type: type[T]) -> list[T]:
        return [record for record in records if isinstance(record, record_type)]

    return RunMetrics(
        train=all_of(TrainRecord),
        valid=all_of(ValidRecord),
        samples=all_of(SampleRecord),
        events=all_of(EventRecord),
        seconds=times[-1] - times[0] if times else 0.0,
        speech=all_of(SpeechRecord),
        data=all_of(DataRecord),
    )


_TYPES: Mapping[str, type[Record]] = {
    record_type.kind: record_type
    for record_type in (
        TrainRecord,
        ValidRecord,
        SampleRecord,
        EventRecord,
        SpeechRecord,
        DataRecord,
    )
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
