"""Models side by side: the same sentences, a column for each model, the codec's ceiling last."""

from collections.abc import Callable, Iterator, Mapping

from dialoom.evaluate.evaluation import Evaluation
from dialoom.evaluate.speech import SpeechSummary

NAME_WIDTH, CELL_WIDTH = 28, 14

SPEECH_ROWS: tuple[tuple[str, Callable[[SpeechSummary], str]], ...] = (
    ("nearest to its own clip", lambda found: f"{found.retrieval_top1:.1%}"),
    ("stopped by itself", lambda found: f"{found.stopped:.1%}"),
    ("empty", lambda found: f"{found.empty:.1%}"),
    ("length within 0.8 to 1.25", lambda found: f"{found.length_within:.1%}"),
    ("median length ratio", lambda found: f"{found.median_length_ratio:.2f}"),
    ("median distortion", lambda found: f"{found.median_distortion_db:.2f} dB"),
)
"""What is said of speech, and how."""


def compare(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Lines of a table.

    Args:
        evaluations: by the title of their column; all on the same clips, with recordings.
    """
    titles = [*evaluations, "codec alone"]
    speech = [found.against_recordings for found in evaluations.values()]
    columns = [*speech, next(iter(evaluations.values())).ceiling]
    yield _line("", titles)
    for name, show in SPEECH_ROWS:
        yield _line(name, ["–" if column is None else show(column) for column in columns])
    ratios = [found.distortion_ratio for found in evaluations.values()]
    yield _line("distortion ÷ codec alone", [_ratio(ratio) for ratio in (*ratios, 1.0)])
    for channel in range(len(next(iter(evaluations.values())).loss.loss_channels)):
        losses = [f"{found.loss.loss_channels[channel]:.3f}" for found in evaluations.values()]
        yield _line(f"loss of channel {channel}", losses)


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{CELL_WIDTH}}" for cell in cells)
