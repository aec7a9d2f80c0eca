"""Recording for a GPU, told by a fake: there is none here."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
import torch

from dialoom.generate.graph import GraphedCalls

CUDA = torch.device("cuda")


class FakeGraph:
    """Replays what was called while it was recorded, as CUDA does."""

    recording: ClassVar[list["FakeGraph"]] = []
    most_at_once = 0
    modes: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.calls: list[str] = []

    def replay(self) -> None:
        done.extend(self.calls)


done: list[str] = []


@contextmanager
def fake_recording(graph: FakeGraph, capture_error_mode: str = "global") -> Iterator[None]:
    FakeGraph.modes.append(capture_error_mode)
    FakeGraph.recording.append(graph)
    FakeGraph.most_at_once = max(FakeGraph.most_at_once, len(FakeGraph.recording))
    yield
    FakeGraph.recording.remove(graph)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", fake_recording)
    FakeGraph.most_at_once = 0
    FakeGraph.modes.clear()
    done.clear()


def step() -> None:
    """On a GPU a recorded call does nothing yet."""
    (FakeGraph.recording[-1].calls if FakeGraph.recording else done).append("step")


def test_every_call_has_its_effect_once() -> None:
    calls = GraphedCalls(CUDA)
    for number in range(1, 5):
        calls("key", step)
        assert len(done) == number
    assert len(FakeGraph.modes) == 1, "the first runs as it is, the second is recorded"
    calls.forget()
    calls("key", step)
    assert len(FakeGraph.modes) == 1


def test_other_threads_may_use_the_gpu_while_a_step_is_recorded() -> None:
    """In PyTorch's usual mode, "global", a cudaMalloc of the codec's thread would be an error."""
    calls = GraphedCalls(CUDA)
    for _ in range(2):
        calls("key", step)
    assert FakeGraph.modes == ["thread_local"]


def test_models_of_one_server_record_in_turns() -> None:
    """Two recordings at once are one too many for PyTorch."""

    def speak() -> None:
        calls = GraphedCalls(CUDA)
        for _ in range(2):
            calls("key", lambda: time.sleep(0.02))

    threads = [threading.Thread(target=speak) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(FakeGraph.modes) == 3
    assert FakeGraph.most_at_once == 1
