"""SIGKILL at any moment costs no bit: the benchmark of 30 kills, with two."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_killed_run_ends_in_the_bits_of_a_quiet_one() -> None:
    script = ROOT / "benchmarks" / "kill_training.py"
    result = subprocess.run(
        [sys.executable, str(script), "--kills=2", "--steps=12", "--checkpoint-every=2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    assert "2 kills" in result.stdout
    assert "weights and moments are the same bits" in result.stdout
