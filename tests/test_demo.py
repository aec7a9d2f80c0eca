"""The demo, cut to two steps: every stage is there and leaves what it says."""

from pathlib import Path

from dialoom.audio import read_audio
from dialoom.demo import run_demo
from dialoom.observe import read_metrics

OVERRIDES = (
    "train.steps=2",
    "train.batch_size=2",
    "evaluate.num_valid_clips=1",
    "evaluate.max_valid_clips=2",
    "evaluate.max_seconds=0.3",
)


def test_demo_goes_from_clips_to_figures_and_report(tmp_path: Path) -> None:
    lines = list(run_demo(tmp_path / "demo", list(OVERRIDES), max_clips=2))
    stages = [line[:4] for line in lines if line[:1].isdigit()]
    assert stages == ["1/6 ", "2/6 ", "3/6 ", "4/6 ", "5/6 ", "6/6 "]
    assert read_audio(tmp_path / "demo" / "hello.wav").duration_s > 0
    table = {line[:28].strip(): line[28:].split() for line in lines}
    assert len(table["nearest to its own clip"]) == 3, "base, fine-tuned and codec"
    losses = table["loss of channel 0"]
    assert losses[0] != losses[1], "two steps change the model"
    metrics = read_metrics(tmp_path / "demo" / "run" / "metrics.jsonl")
    assert [sample.step for sample in metrics.samples] == [0, 2]
    assert not any("failed" in event.message for event in metrics.events)
    page = (tmp_path / "demo" / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") >= 3
