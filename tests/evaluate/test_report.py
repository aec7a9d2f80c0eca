"""The report: one file, no network, true to the record, and no text of a run becomes markup."""

import base64
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from html_page import Page
from typer.testing import CliRunner

from dialoom.cli.report import report_command
from dialoom.errors import DataError
from dialoom.evaluate import write_report
from dialoom.observe import (
    EventRecord,
    MetricsLog,
    SampleRecord,
    TrainRecord,
    ValidRecord,
)

HOSTILE = "[S1] <script>alert(1)</script> & \"quotes\" 'here'"


def train_record(step: int, loss: float) -> TrainRecord:
    return TrainRecord(
        step=step,
        epoch=step / 2,
        loss=loss,
        loss_channels=(loss,) * 9,
        accuracy_channels=(0.5,) * 9,
        eos_loss=1.0,
        eos_recall=0.75,
        lr=1e-4,
        grad_norm=1.0,
        audio_seconds=8.0,
        audio_seconds_per_second=16.0,
        seconds_left=10.0,
    )


def valid_record(step: int, loss: float) -> ValidRecord:
    return ValidRecord(step, loss, (loss,) * 9, (0.25,) * 9, 1.0, 0.5, num_clips=4)


def write_tone(path: Path, *, seconds: float, sample_rate_hz: int = 44_100) -> None:
    times = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    path.parent.mkdir(exist_ok=True)
    sf.write(path, (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32), sample_rate_hz)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with all kinds of records, one sample without its file."""
    path = tmp_path / "my-run"
    with MetricsLog(path / "metrics.jsonl", resume_step=None) as log:
        log.write(EventRecord(0, "started with <b>two</b> threads"))
        for step in range(1, 401):
            log.write(train_record(step, 6.9 - step / 100))
        log.write(valid_record(200, 5.25))
        log.write(valid_record(400, 5.0))
        for step in (200, 400):
            log.write(SampleRecord(step, "a", HOSTILE, f"samples/{step}.wav", 86, True, "ref.wav"))
        log.write(SampleRecord(400, "b", "[S2] Lost.", "samples/lost.wav", 10, False))
    write_tone(path / "samples" / "200.wav", seconds=1.0)
    write_tone(path / "samples" / "400.wav", seconds=2.0)
    write_tone(path / "ref.wav", seconds=2.0)
    (path / "recipe.yaml").write_text(
        "name: x\ntrain:\n  lr: 1.0e-4\n  nested: {depth: [1, 2]}\n  compile: false\n"
    )
    return path


def render(run_dir: Path) -> Page:
    return Page(write_report(run_dir).read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(run_dir):
    page = render(run_dir)
    addresses = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    inside = {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}
    assert {"#samples", "#loss", "#courses", "#settings", "#events"} <= set(addresses)
    assert all(address.startswith("data:") or address in inside for address in addresses)
    assert page.all("script") == []
    assert "http" not in (run_dir / "report.html").read_text(encoding="utf-8")
    assert sorted(p.name for p in run_dir.iterdir() if "report" in p.name) == ["report.html"]


def test_texts_of_the_run_are_text(run_dir):
    page = render(run_dir)
    assert page.all("b") and all("class" in attributes for attributes in page.all("b"))
    assert HOSTILE in page.text
    assert "started with <b>two</b> threads" in page.text
    assert any(HOSTILE in (image["alt"] or "") for image in page.all("img"))


def test_the_headline_figures_are_those_of_the_record(run_dir):
    text = " ".join(render(run_dir).text.split())
    assert "The loss was 6.89 nats per channel at step 1 and is 3.00 at step 400" in text
    assert "6.94 nats per channel is guessing" in text
    assert "On 4 clips it was not trained on the loss is 5.00." in text
    assert "It stops by itself in 1 of 2 samples at step 400." in text
    assert "train lr 0.0001 nested.depth 1, 2 compile no" in text


def test_every_sample_can_be_heard_and_seen_beside_its_reference(run_dir):
    page = render(run_dir)
    labels = [audio["aria-label"] for audio in page.all("audio")]
    assert labels == [f"Step 200: {HOSTILE}", f"Step 400: {HOSTILE}", f"Recording: {HOSTILE}"]
    durations = [decode(audio["src"]) for audio in page.all("audio")]
    assert durations == pytest.approx([1.0, 2.0, 2.0], abs=0.1)
    assert [image["style"] for image in page.all("img")] == [
        "width: 50.0%",
        "width: 100.0%",
        "width: 100.0%",
    ]
    text = " ".join(page.text.split())
    assert "Step 200 1.0 s, 0.50 × as long, 0.0 dB off Step 400 2.0 s, 1.00 × as long" in text
    assert "Step 400 1 of 1 1.00 0.0 dB" in text


def decode(uri: str | None) -> float:
    header, _, content = (uri or "").partition(",")
    assert header == "data:audio/mpeg;base64"
    samples, sample_rate_hz = sf.read(io.BytesIO(base64.b64decode(content)))
    return len(samples) / sample_rate_hz


def test_a_sample_without_its_file_is_told_and_the_rest_stands(run_dir):
    text = render(run_dir).text
    assert "samples/lost.wav: no such file" in text
    assert str(run_dir) not in text


def test_a_rate_that_mp3_lacks_becomes_wav(run_dir):
    write_tone(run_dir / "ref.wav", seconds=0.5, sample_rate_hz=96_000)
    assert (render(run_dir).all("audio")[-1]["src"] or "").startswith("data:audio/wav;base64,")


def test_there_is_a_chart_for_all_channels_and_for_each(run_dir):
    page = render(run_dir)
    plots = [a["aria-label"] or "" for a in page.all("div") if a.get("class") == "plot"]
    titles = [description.partition(":")[0].partition(",")[0] for description in plots]
    assert titles == [
        "All channels",
        *(f"Channel {channel}" for channel in range(9)),
        "Ends recalled",
        "Norm of the gradient",
        "Learning rate",
        "Speed",
    ]
    assert plots[0] == (
        "All channels: loss over 400 steps, training 6.89 → 2.90, validation 5.25 → 5.00 nats"
    )
    numbers = re.findall(
        r"-?[\d.]+", " ".join(a["d"] or "" for a in page.all("path") if a.get("class") == "train")
    )
    assert numbers and all(0 <= float(number) <= 1000 for number in numbers)


def test_a_page_without_recipe_samples_and_validation_still_comes(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl", resume_step=None) as log:
        log.write(train_record(1, math.nan))
    page = render(tmp_path)
    assert "The loss is no longer a number." in page.text
    assert page.all("audio") == []


def test_what_is_no_run_is_refused_in_one_line(tmp_path):
    cases = {
        tmp_path / "nowhere": "there is no such directory",
        tmp_path: r"holds no metrics\.jsonl, so it is no run",
    }
    for path, reason in cases.items():
        with pytest.raises(DataError, match=reason) as caught:
            write_report(path)
        assert "\n" not in str(caught.value)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="has no step and no sample yet"):
        write_report(tmp_path)


@pytest.mark.parametrize("recipe", ["- a\n- b\n", "a: [\n", "\x00"])
def test_a_damaged_recipe_is_refused_in_one_line(run_dir, recipe):
    (run_dir / "recipe.yaml").write_text(recipe)
    with pytest.raises(DataError, match=r"recipe\.yaml: is not") as caught:
        write_report(run_dir)
    assert "\n" not in str(caught.value)


def test_the_command_prints_where_the_page_is(run_dir):
    import typer

    app = typer.Typer()
    app.command()(report_command)
    result = CliRunner().invoke(app, [str(run_dir)])
    assert result.exit_code == 0
    assert result.output.replace("\n", "") == str(run_dir / "report.html")
    assert json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[0])["kind"] == "event"
