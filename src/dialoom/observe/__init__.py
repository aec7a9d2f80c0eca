"""The run's record, and everything that listens to it."""

from dialoom.observe.metrics import (
    EventRecord,
    MetricsLog,
    RunMetrics,
    SampleRecord,
    TrainRecord,
    ValidRecord,
    read_metrics,
)
from dialoom.observe.observer import METRICS_FILE, RunObserver, SilentObserver, Sink
from dialoom.observe.progress import Progress, counted_progress, format_seconds, open_progress

__all__ = [
    "METRICS_FILE",
    "EventRecord",
    "MetricsLog",
    "Progress",
    "RunMetrics",
    "RunObserver",
    "SampleRecord",
    "SilentObserver",
    "Sink",
    "TrainRecord",
    "ValidRecord",
    "counted_progress",
    "format_seconds",
    "open_progress",
    "read_metrics",
]
