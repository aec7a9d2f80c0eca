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
    (head,) = (i for i, line in enumerate(lines) if line.startswith("loss, nats"))
    assert [line[:13].strip() for line in lines[head + 1 : head + 3]] == [
        "a  base",
        "b  fine-tuned",
    ]
    assert lines[head + 1].split()[2:] != lines[head + 2].split()[2:], "two steps change the model"
    (head,) = (i for i, line in enumerate(lines) if line.startswith("what it sounds like"))
    titles = [line[:14].strip() for line in lines[head + 1 : head + 5]]
    assert titles == ["a  base", "b  fine-tuned", "codec alone", "recordings"]
    metrics = read_metrics(tmp_path / "demo" / "run" / "metrics.jsonl")
    assert [sample.step for sample in metrics.samples] == [0, 2]
    assert not any("failed" in event.message for event in metrics.events)
    page = (tmp_path / "demo" / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") >= 3
