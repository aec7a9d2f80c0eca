"""The command line, as the tests of this directory type it."""

import sys
from pathlib import Path

import pytest
from command_line import Command, Result

from dialoom.cli.main import main


@pytest.fixture
def dialoom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs the command line in this process, in an empty directory with voices of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALOOM_VOICES", str(tmp_path / "voices"))

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["dialoom", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        output = capsys.readouterr()
        return Result(int(caught.value.code or 0), output.out, output.err)

    return run
