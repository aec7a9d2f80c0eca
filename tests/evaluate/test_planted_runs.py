"""Real trainings, each with one thing wrong or none: the verdict says which."""

import math
from html import unescape
from pathlib import Path

import pytest
from planted_runs import PlantedRuns

from dialoom.evaluate.standing import Trend
from dialoom.evaluate.verdict import Kind, judge
from dialoom.observe import RunMetrics, read_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> PlantedRuns:
    return PlantedRuns(tmp_path_factory.mktemp("planted"))


def _read(run_dir: Path) -> RunMetrics:
    return read_metrics(run_dir / "metrics.jsonl")


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("healthy", Kind.HEALTHY, "The model that it began with was guessing"),
        ("overfitted", Kind.OVERFITTED, "and has risen since"),
        ("misread", Kind.WRONG_REVISION, "Under the mathematics of the other revision"),
        ("endless", Kind.NEVER_ENDING, "No training clip has an end."),
        ("too_fast", Kind.UNSTABLE, "nats worse now"),
        ("shuffled", Kind.NOT_READING, "that is what the text tells it"),
        ("read_right", Kind.HEALTHY, "nats better now"),
        ("shuffled_fine_tuning", Kind.NOT_READING, "that is what the text tells it"),
    ],
)
def test_the_verdict_tells_what_was_planted(
    runs: PlantedRuns, name: str, kind: Kind, sentence: str
) -> None:
    run_dir = getattr(runs, name)()
    verdict = judge(_read(run_dir))
    assert verdict.kind is kind, verdict
    assert sentence in " ".join(verdict.sentences)
    assert verdict.advice
    page = unescape((run_dir / "report.html").read_text(encoding="utf-8"))
    assert verdict.headline in page
    assert verdict.advice[0] in page


def test_a_run_that_learns_is_told_to_go_on(runs: PlantedRuns) -> None:
    metrics = _read(runs.april.parents[1])
    verdict = judge(metrics)
    assert (verdict.kind, verdict.trend) == (Kind.HEALTHY, Trend.FALLING)
    assert verdict.advice[0].startswith("Train on")
    assert metrics.valid[0].text_gain == pytest.approx(0, abs=0.01)
    assert metrics.valid[-1].text_gain > 0.3
    assert all(math.isnan(record.other_revision_loss) for record in metrics.valid[1:])
