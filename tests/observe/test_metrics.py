"""metrics.jsonl survives kills, resumptions and numbers that JSON does not have."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialoom.errors import DataError
from dialoom.observe import (
    DataRecord,
    EventRecord,
    MetricsLog,
    SampleRecord,
    SpeechRecord,
    TrainRecord,
    ValidRecord,
    read_metrics,
)
from dialoom.observe.metrics import decode_record, encode_record

floats = st.floats(allow_nan=False, allow_infinity=False)
channels = st.lists(floats, min_size=1, max_size=9).map(tuple)
steps = st.integers(min_value=0)
names = st.text()
records = st.one_of(
    st.builds(
        TrainRecord, step=steps, epoch=floats, loss=floats, loss_channels=channels,
        accuracy_channels=channels, eos_loss=floats, eos_recall=floats, lr=floats,
        grad_norm=floats, audio_seconds=floats, audio_seconds_per_second=floats,
        seconds_left=floats, eos_recall_channels=channels,
    ),
    st.builds(
        ValidRecord, step=steps, loss=floats, loss_channels=channels,
        accuracy_channels=channels, eos_loss=floats, eos_recall=floats, num_clips=steps,
        text_gain=floats, other_revision_loss=floats, other_revision_text_gain=floats,
    ),
    st.builds(
        SpeechRecord, step=steps, num_utterances=steps, retrieval=floats, stopped=floats,
        length=floats, distortion_db=floats,
    ),
    st.builds(
        DataRecord, step=steps, corpus=names, codec=names, num_clips=steps,
        num_valid_clips=steps, num_left_out=steps, seconds=floats, valid_seconds=floats,
        longest_s=floats, median_s=floats, languages=names, text_bytes_per_second=floats,
    ),
    st.builds(
        SampleRecord, step=steps, name=names, text=names, audio_path=names, num_frames=steps,
        stopped=st.booleans(), reference_path=st.none() | names,
    ),
    st.builds(EventRecord, step=steps, message=names),
)  # fmt: skip


def train_record(step: int, loss: float = 2.0) -> TrainRecord:
    return TrainRecord(
        step=step,
        epoch=step / 10,
        loss=loss,
        loss_channels=(loss, loss),
        accuracy_channels=(0.5, 0.25),
        eos_loss=math.nan,
        eos_recall=math.nan,
        lr=1e-4,
        grad_norm=1.0,
        audio_seconds=8.0,
        audio_seconds_per_second=16.0,
        seconds_left=60.0,
    )


def write(path: Path, step_numbers: range, *, resume_step: int | None = None) -> None:
    with MetricsLog(path, resume_step=resume_step) as log:
        for step in step_numbers:
            log.write(train_record(step))


def written_steps(path: Path) -> list[int]:
    return [record.step for record in read_metrics(path).train]


@given(records)
def test_decoding_undoes_encoding(record):
    line = encode_record(record, unix_time=0.0)
    assert "\n" not in line
    assert decode_record(json.loads(line)) == record


def test_nan_and_infinity_are_null_in_the_file_and_nan_when_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, resume_step=None) as log:
        log.write(train_record(1, loss=math.inf))
    line = json.loads(path.read_text())
    assert line["loss"] is None
    assert line["loss_channels"] == [None, None]
    assert line["eos_loss"] is None
    (record,) = read_metrics(path).train
    assert math.isnan(record.loss)
    assert all(math.isnan(loss) for loss in record.loss_channels)


def test_every_record_says_its_kind_and_time_and_is_there_before_the_log_closes(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path, resume_step=None)
    log.write(EventRecord(step=0, message="start"))
    line = json.loads(path.read_text())
    assert line["kind"] == "event"
    assert line["time"] > 1.7e9
    log.close()


def test_resuming_removes_later_records_and_appends(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 8))
    write(path, range(5, 7), resume_step=4)
    assert written_steps(path) == [1, 2, 3, 4, 5, 6]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_opening_without_a_step_keeps_all(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 3))
    write(path, range(3, 5))
    assert written_steps(path) == [1, 2, 3, 4]


@pytest.mark.parametrize("torn", [b'{"kind": "tra', '{"text": "Ü'.encode()[:-1], b"{"])
def test_a_half_written_last_line_is_left_out_and_removed_on_resume(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 3))
    with path.open("ab") as file:
        file.write(torn)
    assert written_steps(path) == [1, 2]
    write(path, range(3, 4), resume_step=2)
    assert written_steps(path) == [1, 2, 3]


def test_damage_elsewhere_is_told_with_its_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 3))
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(DataError, match=r"metrics\.jsonl: line 1 is not JSON"):
        read_metrics(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [('{"kind": "mood"}', "unknown kind 'mood'"), ('{"kind": "event", "step": 1}', "no message")],
)
def test_a_line_that_is_no_record_is_told(tmp_path, line, reason):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=reason):
        read_metrics(path)


def test_records_of_early_versions_are_read() -> None:
    line = json.loads(encode_record(train_record(3), unix_time=0.0))
    del line["eos_recall_channels"]
    record = decode_record(line)
    assert isinstance(record, TrainRecord)
    assert record.eos_recall_channels == ()
    del line["lr"]
    with pytest.raises(ValueError, match="no lr"):
        decode_record(line)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        read_metrics(tmp_path / "metrics.jsonl")
