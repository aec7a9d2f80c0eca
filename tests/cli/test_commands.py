"""The commands as a person types them: results on success, one line and status 2 otherwise."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Command, Result
from helpers import small_model
from tiny_run import SPEC, tiny_recipe, write_base, write_corpus

from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.codec import load_codec
from dialoom.train import Trainer


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model that names the bundled codec."""
    path = tmp_path_factory.mktemp("models") / "model"
    save_pretrained(small_model(), ModelInfo(codec=load_codec("mini").spec), path)
    return path


def assert_refused(result: Result, message: str) -> None:
    assert result.status == 2
    assert result.stderr.startswith("dialoom: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_speak_writes_audio_and_codes(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    result = dialoom(
        "speak", speaker, "[S1] Hello.", "-o", "a.wav", "--save-codes", "a.npy",
        "--max-seconds", "0.5", "--temperature", "0",
    )  # fmt: skip
    assert result.status == 0, result.stderr
    codes = np.load(tmp_path / "a.npy")
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 44_100
    assert samples.shape == (512 * len(codes),)
    assert codes.shape[1] == 9
    assert f"{len(samples) / rate:.2f} s" in result.stdout


def test_speak_refuses(dialoom: Command, speaker: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    cases = [
        ([speaker, "[S1] Hi."], "nothing to write: give -o"),
        (["nowhere", "[S1] Hi.", "-o", "a.wav"], "no model at nowhere"),
        ([speaker, " ", "-o", "a.wav"], "the text is empty"),
        ([speaker, "x" * 1025, "-o", "a.wav"], "reads 1 to 1024"),
        ([speaker, "[S1] Hi.", "-o", "a.wav", "--prompt", "text.wav"], "text.wav"),
        ([speaker, "[S1] Hi.", "-o", "a.wav", "--temperature", "-1"], "temperature is -1"),
        ([speaker, "[S1] Hi.", "-o", "a.wav", "--revision", "2025-04"], "you say 2025-04"),
        ([speaker, "[S1] Hi.", "-o", "a.xyz"], "cannot write audio as '.xyz'"),
        ([speaker, "[S1] Hi.", "-o", "no/such/a.wav"], "there is no directory no/such"),
        ([speaker, "[S1] Hi.", "-o", "a.wav", "--device", "tpu"], "device 'tpu': there is none"),
    ]
    for arguments, message in cases:
        assert_refused(dialoom("speak", *arguments), message)


def test_model_of_another_codec_is_refused(dialoom: Command, tmp_path: Path) -> None:
    write_base(tmp_path / "model")
    result = dialoom("speak", "model", "[S1] Hi.", "-o", "a.wav", "--codec", "mini")
    assert_refused(result, "has other weights than the 'mini' that the model was trained with")


def test_evaluate_refuses_before_it_speaks(dialoom: Command, tmp_path: Path) -> None:
    """A model that names no codec must not be measured on codes that its codec did not make."""
    save_pretrained(small_model(), ModelInfo(), tmp_path / "model")
    write_corpus(tmp_path / "corpus")
    arguments = ["evaluate", "model", "corpus", "--codec", "mini", "--split", "all"]
    assert_refused(dialoom(*arguments), "its codes were made by codec mini (000000000000)")
    assert_refused(dialoom(*arguments, "--json", "no/such.json"), "name a file in a directory")


def test_evaluate_speaks_as_the_model_says_or_as_it_is_told(
    dialoom: Command, tmp_path: Path
) -> None:
    spec = load_codec("mini").spec
    info = ModelInfo(codec=spec, sampling={"temperature": 0.25, "cfg_scale": 0.0})
    save_pretrained(small_model(), info, tmp_path / "model")
    write_corpus(tmp_path / "corpus", num_clips=2, spec=spec)
    arguments = ("evaluate", "model", "corpus", "--split", "all", "--seeds", "1")
    result = dialoom(*arguments, "--top-k", "20")
    assert "temperature 0.25, top-p 0.95, top-k 20, guidance 0" in result.stdout, result.stderr
    assert_refused(dialoom(*arguments, "--temperature", "-1"), "temperature is -1")


def test_version_is_told(dialoom: Command) -> None:
    assert dialoom("--version").stdout == f"dialoom {version('dialoom')}\n"


def test_train_then_report(dialoom: Command, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, steps=2)
    (tmp_path / "r.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    result = dialoom("train", "r.yaml", "train.log_every=1")
    assert result.status == 0, result.stderr
    assert "2 steps done, best validation loss" in result.stdout
    assert (tmp_path / "runs" / "r" / "report.html").exists()
    (tmp_path / "runs" / "r" / "report.html").unlink()
    assert dialoom("report", "runs/r").status == 0
    assert (tmp_path / "runs" / "r" / "report.html").exists()
    assert_refused(dialoom("train", "r.yaml"), "is there already")


def test_printed_line_resumes_a_run_with_overrides(
    dialoom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text(tiny_recipe(tmp_path, steps=3).to_yaml(), encoding="utf-8")
    original = Trainer._advance

    def interrupt(self: Trainer, *arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", interrupt)
        result = dialoom("train", "r.yaml", "train.lr=0.01")
    assert result.status == 0
    line = result.stdout.splitlines()[-1]
    assert line.startswith("stopped after step 1: go on with  dialoom train ")
    assert "3 steps done" in dialoom(*line.partition("dialoom ")[2].split()).stdout


def test_places_that_cannot_be_written_are_one_line(
    dialoom: Command, speaker: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    recipe = tiny_recipe(tmp_path, steps=1)
    (tmp_path / "r.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    result = dialoom("train", "r.yaml", "observe.run_dir=file/run")
    assert_refused(result, "Not a directory")
    result = dialoom("speak", speaker, "[S1] Hi.", "--save-codes", "no/such/x.npy")
    assert_refused(result, "name a file in a directory that is there")


def test_train_refuses_unknown_keys(dialoom: Command, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("data: {corpus: c}\ntrain: {steps: 1, lrr: 2}")
    assert_refused(dialoom("train", "r.yaml"), "train.lrr is unknown")
    (tmp_path / "r.yaml").write_text("data: {corpus: c}\ntrain: {steps: 1}")
    assert_refused(dialoom("train", "r.yaml"), "corpus c")


def test_demo_refuses_a_directory_that_is_in_use(dialoom: Command, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").touch()
    assert_refused(dialoom("demo"), "demo is not empty")


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['dialoom', '--help']\n"
        "from dialoom.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for command in ("demo", "prepare", "train", "speak", "report"):
        assert command in result.stdout


def test_spec_of_the_tiny_corpus_has_dias_geometry() -> None:
    mini = load_codec("mini").spec
    assert (SPEC.sample_rate_hz, SPEC.hop_length, SPEC.num_codebooks, SPEC.codebook_size) == (
        mini.sample_rate_hz, mini.hop_length, mini.num_codebooks, mini.codebook_size,
    )  # fmt: skip
