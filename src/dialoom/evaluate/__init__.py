"""What a run came to: its report."""

from dialoom.evaluate.report import write_report

__all__ = ["write_report"]
