"""The checkpoints of a run: what is kept, what is swept, what is refused."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers import small_model

from dialoom.checkpoint import ModelInfo, RunStore, last_checkpoint, load_training_state
from dialoom.errors import CheckpointError


def _steps(run_dir: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step_*"))


def test_last_ones_and_the_best_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's directory is relative by default."""
    monkeypatch.chdir(tmp_path)
    store = RunStore(Path("run"), ModelInfo(), keep_last=2)
    for step in (1, 2, 3, 4):
        store.save(small_model(), {"step": step}, step, is_best=step == 1)
    assert _steps(Path("run")) == [1, 3, 4]
    links = {name: (Path("run/checkpoints") / name).resolve().name for name in ("last", "best")}
    assert links == {"last": "step_00000004", "best": "step_00000001"}
    last = last_checkpoint(Path("run"))
    assert last is not None
    assert load_training_state(last) == {"step": 4}


def test_last_is_the_newest_even_where_a_kill_came_before_the_link(tmp_path: Path) -> None:
    store = RunStore(tmp_path, ModelInfo(), keep_last=2)
    store.save(small_model(), {"step": 1}, 1, is_best=False)
    (tmp_path / "checkpoints" / "last").unlink()
    last = last_checkpoint(tmp_path)
    assert last is not None
    assert last.name == "step_00000001"
    assert last_checkpoint(tmp_path / "nothing") is None


def test_leftovers_of_killed_writers_are_swept(tmp_path: Path) -> None:
    store = RunStore(tmp_path, ModelInfo(), keep_last=5)
    for step in (1, 2):
        store.save(small_model(), {"step": step}, step, is_best=False)
    directory = tmp_path / "checkpoints"
    (directory / ".step_00000003.77.tmp").mkdir()
    (directory / ".last.77.tmp").symlink_to("step_00000001")
    (directory / "step_00000001").rename(directory / ".step_00000001.77.old")
    (directory / ".step_00000002.77.old").mkdir()
    RunStore(tmp_path, ModelInfo(), keep_last=5)
    assert {path.name for path in directory.iterdir()} == {"step_00000001", "step_00000002", "last"}
    assert load_training_state(directory / "step_00000001") == {"step": 1}


@pytest.mark.parametrize("older", [False, True])
def test_last_is_found_between_the_two_renames(tmp_path: Path, older: bool) -> None:
    """A writer that was killed there left a whole checkpoint under another name."""
    store = RunStore(tmp_path, ModelInfo(), keep_last=5)
    for step in (1, 2) if older else (2,):
        store.save(small_model(), {"step": step}, step, is_best=False)
    directory = tmp_path / "checkpoints"
    (directory / "step_00000002").rename(directory / ".step_00000002.77.old")
    last = last_checkpoint(tmp_path)
    assert last is not None
    assert load_training_state(last) == {"step": 2}


@contextmanager
def _files_of_at_most(num_bytes: int) -> Iterator[None]:
    """As a disk that is full: the system refuses the write that goes beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("full_at", ["weights", "state"])
def test_full_disk_is_one_line_and_leaves_what_was(tmp_path: Path, full_at: str) -> None:
    store = RunStore(tmp_path, ModelInfo(), keep_last=5)
    store.save(small_model(), {"step": 1}, 1, is_best=True)
    before = sorted(tmp_path.rglob("*"))
    state = {"step": 2, "moments": torch.zeros(5_000_000)}
    limit = 1_000_000 if full_at == "weights" else 10_000_000
    with _files_of_at_most(limit), pytest.raises(CheckpointError) as caught:
        store.save(small_model(), state, 2, is_best=True)
    assert "step_00000002 cannot be written: free space" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert load_training_state(tmp_path / "checkpoints" / "last") == {"step": 1}


def test_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    store = RunStore(tmp_path, ModelInfo(), keep_last=5)
    with pytest.raises(CheckpointError, match="cannot be written"):
        store.save(small_model(), {"step": 1}, 1, is_best=False)


def test_other_errors_while_writing_are_not_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr("dialoom.checkpoint.run_store.torch.save", fail)
    store = RunStore(tmp_path, ModelInfo(), keep_last=5)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        store.save(small_model(), {"step": 1}, 1, is_best=False)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 half a zip"])
def test_damaged_state_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = RunStore(tmp_path, ModelInfo(), keep_last=1).save(
        small_model(), {"step": 1}, 1, is_best=False
    )
    (path / "training" / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged") as caught:
        load_training_state(path)
    assert "\n" not in str(caught.value)


def test_model_without_training_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can be fine-tuned from"):
        load_training_state(tmp_path)
