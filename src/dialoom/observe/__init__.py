"""The run's record, and everything that listens to it."""

from dialoom.observe.metrics import MetricsLog, RunMetrics, read_metrics
from dialoom.observe.observer import METRICS_FILE, RunObserver, SilentObserver, Sink
from dialoom.observe.progress import Progress, counted_progress, format_seconds, open_progress
from dialoom.observe.records import (
    DataRecord,
    EventRecord,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.observe.tracker import TrackerSink, check_trackers

__all__ = [
    "METRICS_FILE",
    "DataRecord",
    "EventRecord",
    "MetricsLog",
    "Progress",
    "RunMetrics",
    "RunObserver",
    "SampleRecord",
    "SilentObserver",
    "Sink",
    "SpeechRecord",
    "TrackerSink",
    "TrainRecord",
    "ValidRecord",
    "check_trackers",
    "counted_progress",
    "format_seconds",
    "open_progress",
    "read_metrics",
]
