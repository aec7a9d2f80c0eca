"""The demo, cut to two steps: every stage is there and leaves what it says."""

from pathlib import Path

from dialoom.audio import read_audio
from dialoom.demo import run_demo
from dialoom.observe import read_metrics


def test_demo_goes_from_clips_to_speech_and_report(tmp_path: Path) -> None:
    overrides = ["train.steps=2", "train.batch_size=2", "evaluate.max_seconds=0.3"]
    lines = list(run_demo(tmp_path / "demo", overrides, max_seconds=0.3))
    assert [line[:4] for line in lines if line[0].isdigit()] == ["1/4 ", "2/4 ", "3/4 ", "4/4 "]
    assert read_audio(tmp_path / "demo" / "hello.wav").duration_s > 0
    metrics = read_metrics(tmp_path / "demo" / "run" / "metrics.jsonl")
    assert len(metrics.samples) == 3
    assert not any("failed" in event.message for event in metrics.events)
    page = (tmp_path / "demo" / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") >= 3
