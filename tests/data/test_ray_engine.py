"""A real Ray with 2 CPUs makes the local engine's corpus, byte for byte.

Ray runs in a process of its own (ray_case.py): it starts others, which must find the modules of the
tests, and it must not inherit that warnings are errors.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from fake_audio import FakeCodec, write_tone
from typer.testing import CliRunner

import dialoom
from dialoom.cli.prepare import prepare_command
from dialoom.data import PrepareOptions, prepare
from dialoom.errors import DataError

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("ray")
    paths = [Path(dialoom.__file__).parents[1], TESTS]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "RAY_AUTH_TOKEN": "0" * 32,  # else Ray writes one into the home directory
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("RAY_ADDRESS", None)
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("ray_case.py")), str(root / "case")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_the_corpus_is_that_of_the_local_engine(found: dict[str, Any]) -> None:
    assert found["cpus"] == 2
    assert found["files"] == {"equal": True, "num_clips": 67, "rejections": 3}
    assert found["rows"] == {"equal": True, "num_clips": 40, "rejections": 0}
    assert found["num_processes"] == 2, "each CPU has an actor, and both worked"


def test_a_run_that_was_stopped_is_finished_by_the_other_engine(found: dict[str, Any]) -> None:
    assert found["shards_when_stopped"] == ["data-00000.parquet"]
    assert found["encoded_here_after"] == 38
    assert found["finished_equal"]


def test_errors_are_those_of_one_process(found: dict[str, Any]) -> None:
    assert "clip-09.wav: was listed by the source and is gone" in found["gone"]
    assert found["no_gpu"] == (
        "--engine ray --device cuda: the cluster has no GPU; add a machine that has, or choose "
        "another device"
    )
    assert found["still_initialized"], "a Ray that was there before is left running"


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tone(tmp_path / "s/a.wav").with_suffix(".txt").write_text("text")
    monkeypatch.setitem(sys.modules, "ray", None)
    app = typer.Typer()
    app.command()(prepare_command)
    arguments = [str(tmp_path / "s"), str(tmp_path / "out"), "--engine", "ray"]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, DataError)
    assert str(error) == "--engine ray needs the package ray: pip install 'dialoom[ray]'"
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="engine 'spark': choose local or ray"):
        prepare(tmp_path, tmp_path / "out", PrepareOptions(engine="spark"), codec=FakeCodec())
