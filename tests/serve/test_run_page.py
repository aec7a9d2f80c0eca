"""A run in progress, as the server tells it."""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fake_speech import fake_sentence
from PIL import Image
from served import served, small_synthesizer

from dialoom.audio import write_audio
from dialoom.observe import (
    METRICS_FILE,
    EventRecord,
    MetricsLog,
    SampleRecord,
    TrainRecord,
    ValidRecord,
)
from dialoom.serve import ServeSettings, create_app
from dialoom.serve.run_data import MAX_POINTS


def train_record(step: int) -> TrainRecord:
    loss = 6.9 - step / 500
    return TrainRecord(
        step, step / 10, loss, (loss,) * 9, (0.1,) * 9, math.nan, 0.5, 1e-4, 1.0, 20.0, 40.0, 60.0
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    (run / "samples").mkdir(parents=True)
    write_audio(run / "samples" / "a.wav", fake_sentence(1, num_sounds=5))
    write_audio(run.parent / "outside.wav", fake_sentence(1, num_sounds=5))
    with MetricsLog(run / METRICS_FILE, resume_step=None) as log:
        log.write(EventRecord(0, "start"))
        for step in range(1, 1001):
            log.write(train_record(step))
        log.write(ValidRecord(1000, 5.0, (5.0,) * 9, (0.2,) * 9, 2.0, 0.7, 8))
        for path in ("samples/a.wav", "../outside.wav", METRICS_FILE, "samples/none.wav"):
            log.write(SampleRecord(1000, "one", "[S1] Hi.", path, 40, stopped=True))
    return run


@pytest.fixture(scope="module")
def url(run_dir: Path) -> Iterator[str]:
    with served(create_app({"one": small_synthesizer()}, ServeSettings(run_dir=run_dir))) as url:
        yield url


def test_a_run_is_summed_up(url: str) -> None:
    run = httpx2.get(f"{url}/run/summary").json()
    assert (run["name"], run["step"], run["speed"], run["seconds_left"]) == ("run", 1000, 40, 60)
    assert len(run["train"]) == MAX_POINTS
    assert (run["train"][0]["step"], run["train"][-1]["step"]) == (1, 1000)
    assert run["train"][0]["eos"] is None
    assert run["valid"] == [{"step": 1000, "loss": 5.0, "eos": 2.0}]
    assert [sample["index"] for sample in run["samples"]] == [3, 2, 1, 0]
    assert run["events"] == [{"step": 0, "message": "start"}]


def test_what_is_written_later_is_seen(url: str, run_dir: Path) -> None:
    path = run_dir / METRICS_FILE
    before = path.read_text()
    assert httpx2.get(f"{url}/run/summary").json()["step"] == 1000
    path.write_text(
        before + json.dumps(json.loads(before.splitlines()[1000]) | {"step": 1001}) + "\n{"
    )
    assert httpx2.get(f"{url}/run/summary").json()["step"] == 1001
    path.write_text(before)


def test_samples_are_heard_and_seen(url: str, run_dir: Path) -> None:
    sound = httpx2.get(f"{url}/run/samples/0/sound")
    assert sound.content == (run_dir / "samples" / "a.wav").read_bytes()
    picture = Image.open(io.BytesIO(httpx2.get(f"{url}/run/samples/0/picture").content))
    assert (picture.format, picture.width) == ("PNG", 50)


@pytest.mark.parametrize("index", ["1", "2", "3", "4", "-1", "0%2f..%2f..", "x"])
def test_nothing_else_of_the_disk_is_given_out(url: str, index: str) -> None:
    assert httpx2.get(f"{url}/run/samples/{index}/sound").status_code in (404, 422)


def test_a_server_without_run_says_so() -> None:
    with served(create_app({"one": small_synthesizer()}, ServeSettings())) as url:
        answer = httpx2.get(f"{url}/run/summary")
    assert (answer.status_code, "start the server with --run" in answer.text) == (404, True)
