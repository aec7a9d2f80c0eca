"""`dialoom serve` as a person types it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import torch
from helpers import small_model
from served import QUICK

from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.cli.main import main
from dialoom.codec import load_codec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    model = small_model()
    with torch.no_grad():
        model.logits_dense.weight[1024] = 0
    save_pretrained(model, ModelInfo(codec=load_codec("mini").spec), path)
    return path


def test_it_serves_until_it_is_told_to_stop(model: Path) -> None:
    command = [sys.executable, "-m", "dialoom.cli.main", "serve", str(model), f"two={model}"]
    environment = os.environ | {"DIALOOM_TOKEN": "secret", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        lines = []
        url = None
        while url is None:
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
            found = re.search(r"running on (http://127.0.0.1:\d+)", lines[-1])
            url = found and found[1]
        headers = {"Authorization": "Bearer secret"}
        models = httpx2.get(f"{url}/v1/models", headers=headers).json()["data"]
        assert [each["id"] for each in models] == ["small", "two"]
        wish = {"model": "two", "input": "Hi.", "response_format": "wav", **QUICK}
        with httpx2.stream(
            "POST", f"{url}/v1/audio/speech", json=wish | {"stream": True}, headers=headers
        ) as answer:
            process.send_signal(signal.SIGTERM)
            assert len(b"".join(answer.iter_bytes())) > 10_000
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["=x"], "give NAME=MODEL, each name once"),
        (["a=x", "a=y"], "give NAME=MODEL, each name once"),
        (["x", "--voices", "nowhere"], "--voices nowhere: there is no such directory"),
        (["x", "--run", "nowhere"], "--run nowhere: there is no such directory"),
        (["x", "--token", " "], "the token is empty"),
        (["x", "--timeout", "nan"], "speak_timeout_s is nan: it must be more than 0"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dialoom", "serve", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n"), message in error) == (2, 1, True), error


def test_a_missing_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["dialoom", "serve", "mini"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "pip install 'dialoom[serve]'" in capsys.readouterr().err
