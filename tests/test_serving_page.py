"""docs/serving.md as it is written: its curl and Python examples, against a server."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from fake_speech import fake_sentence
from served import served, small_synthesizer

from dialoom.audio import write_audio
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.serve import ServeSettings, create_app

PAGE = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
TOKEN = "a-token-of-some-length"
MAX_FRAMES = 20

CURL = [text for text in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if "curl" in text]
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A model of the page's name, that says little because it never ends by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Synthesizer, "_max_frames", limited)
        app = create_app({"mini": small_synthesizer()}, ServeSettings(token=TOKEN))
        with served(app) as url:
            yield url


def limited(self: Synthesizer, settings: SamplingSettings) -> int:
    return MAX_FRAMES


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_audio(tmp_path / "ann.wav", fake_sentence(1, num_sounds=10))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALOOM_TOKEN", TOKEN)
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="no curl, no jq")
@pytest.mark.parametrize("block", CURL)
def test_curl(block: str, url: str, here: Path) -> None:
    script = f"set -euo pipefail\n{block.replace(ADDRESS, url)}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, timeout=120, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    for name in re.findall(r"-o (\S+\.(?:wav|mp3))", block):
        assert soundfile.info(here / name).duration > 0.2
    for name in re.findall(r"-o (\S+\.pcm)", block):
        assert (here / name).stat().st_size > 2 * 24_000 * 0.2


@pytest.mark.parametrize("block", PYTHON)
def test_python(block: str, url: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.replace(ADDRESS, url), "serving.md", "exec"), {})
    pieces = [int(line) for line in capsys.readouterr().out.split()]
    if "write_to_file" in block:
        assert soundfile.info(here / "hello.wav").duration > 0.2
    else:
        assert sum(pieces) > 2 * 24_000 * 0.2


def test_there_are_examples_of_each() -> None:
    assert len(PYTHON) == 2
    for said in ("--no-buffer", "-F file=@", "/v1/models", "/metrics", "/health", "-X DELETE"):
        assert any(said in block for block in CURL), said
