"""The report is there while the run goes on, and where it broke off."""

from pathlib import Path

import pytest
import torch
from tiny_run import tiny_recipe

from dialoom.checkpoint import load_pretrained
from dialoom.errors import TrainingDiverged
from dialoom.observe import TrainRecord, read_metrics
from dialoom.recipe import Recipe, report_sink, run_recipe
from dialoom.recipe.report_sink import ReportSink


def test_the_report_is_written_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(report_sink, "SHORTEST_PAUSE_S", 0.0)
    monkeypatch.setattr(report_sink, "PAUSE_PER_SECOND", 0.0)
    train = ReportSink.train

    def spy(self: ReportSink, record: TrainRecord) -> None:
        train(self, record)
        seen.append(f"at step {record.step};" in _page(tmp_path / "run"))

    monkeypatch.setattr(ReportSink, "train", spy)
    run_recipe(tiny_recipe(tmp_path, steps=3), tmp_path / "run")
    assert seen == [True] * 3


def test_the_report_takes_a_fiftieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    written = []

    def write(run_dir: Path) -> None:
        written.append(clock[0])
        clock[0] += 4.0

    monkeypatch.setattr(report_sink, "write_report", write)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    sink = ReportSink(tmp_path)
    record = _record(tmp_path)
    for _ in range(600):
        clock[0] += 1.0
        sink.train(record)
    assert written[:3] == [60.0, 264.0, 468.0]  # 4 s of writing, 200 s of pause


def test_a_run_that_diverges_has_a_report_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tmp_path, steps=30)
    loaded = load_pretrained(tmp_path / "base")
    with torch.no_grad():
        loaded.model.logits_dense.weight[3, 3] = torch.nan
    monkeypatch.setattr("dialoom.recipe.run.load_model", lambda *_, **__: loaded)
    with pytest.raises(TrainingDiverged) as caught:
        run_recipe(recipe, tmp_path / "run")
    page = _page(tmp_path / "run")
    assert "The loss is no longer a number." in page
    assert str(caught.value) in page


def test_the_record_says_what_the_run_is_trained_on(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=1)
    limited = {**recipe.model_dump(), "data": {"corpus": recipe.data.corpus, "max_seconds": 0.4}}
    run_recipe(Recipe.model_validate(limited), tmp_path / "run")
    metrics = read_metrics(tmp_path / "run" / "metrics.jsonl")
    (data,) = metrics.data
    assert data.num_clips + data.num_valid_clips + data.num_left_out == 12
    assert data.num_left_out > 0
    assert data.longest_s <= 0.4
    assert (data.codec, data.languages) == ("mini", "en")
    assert metrics.train[0].peak_memory_gib > 0.1
    assert f"{data.num_clips} clips" in _page(tmp_path / "run")


def _page(run_dir: Path) -> str:
    return (run_dir / "report.html").read_text(encoding="utf-8")


def _record(directory: Path) -> TrainRecord:
    run_recipe(tiny_recipe(directory, steps=1), directory / "once")
    return read_metrics(directory / "once" / "metrics.jsonl").train[0]
