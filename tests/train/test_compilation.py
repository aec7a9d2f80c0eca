"""torch.compile changes the speed alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_compiled_training_is_training(tmp_path: Path) -> None:
    """In a process of its own: the types that tests check at run time cannot be compiled."""
    done = subprocess.run(
        [sys.executable, TESTS / "train" / "compiled_steps.py", tmp_path],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (loss, grad_norm), (compiled_loss, compiled_grad_norm) = found["steps"]
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    assert compiled_grad_norm == pytest.approx(grad_norm, rel=1e-4), "guidance is part of it"
    assert found["num_graphs"] == 1, "how many clips are packed does not matter"
