"""The commands of docs/, run: each page's in their order, on small data and a small Dia.

They are run as they stand there, but for three things: the Hub gives a Dia and codecs that are
small and random, `--device cuda` is left out, and a training gets LIMITS behind its own settings.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from doc_pages import PAGES, ROOT, blocks, lines, write_sources
from fake_speech import fake_sentence
from helpers import small_config, small_model
from tiny_dac import save_tiny_dac
from tiny_mimi import save_tiny_mimi
from tiny_run import write_corpus

from dialoom.audio import write_audio
from dialoom.checkpoint import ModelInfo, save_pretrained
from dialoom.cli.main import main
from dialoom.codec import CodecSpec, load_codec
from dialoom.data import split_of
from dialoom.generate import SamplingSettings, Synthesizer

NOT_RUN = {
    "pip ": "installs; test_docs.py looks the extras up",
    "make demo": "two minutes; test_demo.py runs its parts",
    "docker ": "is not on the machines that test; test_docker.py reads the files",
    "torchrun ": "many GPUs; tests/train starts two processes",
    "--engine ray": "a cluster; tests/data starts a local one",
    "tensorboard ": "a server of others, which does not end",
    "curl ": "test_serving_page.py runs them",
    "export ": "test_serving_page.py sets it",
    "dialoom serve": "does not end by itself; tests/serve starts it",
    "OWNER/DATASET": "a dataset of the Hub",
    "--asr-model": "Whisper's weights; tests/audio has a small one",
    "jq ": "a program of others",
    "python benchmarks": "a measurement",
    "weights.pth": "published weights; tests/checkpoint probes a revision",
}
"""What a command says, and why it is only parsed, by test_docs.py."""

LIMITS = (
    "train.steps=2", "train.epochs=null", "train.warmup_steps=1", "train.valid_every=2",
    "train.optimizer=adamw", "train.weights=fp32", "train.precision=fp32", "train.decay_steps=0",
    "train.recompute=none", "train.compile=false", "evaluate.num_valid_clips=1",
    "evaluate.max_valid_clips=4", "observe.tensorboard=false",
)  # fmt: skip

MAX_FRAMES = 12
"""Of any speech: the small Dia does not end by itself."""

CORPORA = {"settings": ("corpus-dac", "corpus-anna"), "evaluating": ("corpus-anna",)}
"""What a page trains on and does not prepare."""

NUMBERS = [str(number) for number in range(200)]
CLIPS = [
    *[name for name in NUMBERS if split_of(name, 0.05) == "train"][:5],
    *[name for name in NUMBERS if split_of(name, 0.05) == "valid"][:2],
]
"""Of which some are for validation."""

RECORDINGS = ("my-recordings", "anna", "german", "english", "swedish", "corpus-source")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the Hub gives, by its ids."""
    root = tmp_path_factory.mktemp("hub")
    dac = save_tiny_dac(root / "dac")
    spec = replace(load_codec(str(dac)).spec, name="descript/dac_44khz")
    return {
        "descript/dac_44khz": dac,
        "kyutai/mimi": save_tiny_mimi(root / "mimi"),
        "nari-labs/Dia-1.6B-0626": save_dia(root / "dia", spec),
    }


def save_dia(path: Path, spec: CodecSpec) -> Path:
    save_pretrained(small_model(), ModelInfo(codec=spec), path)
    return path


@pytest.fixture
def here(hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all that the pages name and do not make."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(hub[name]))
    presets = MappingProxyType(dict.fromkeys(("mini", "small", "dia-1.6b"), small_config()))
    for module in ("dialoom.recipe.run", "dialoom.recipe.limits"):
        monkeypatch.setattr(f"{module}.PRESETS", presets)
    monkeypatch.setattr(Synthesizer, "_max_frames", limited)
    monkeypatch.setenv("DIALOOM_VOICES", str(tmp_path / "voices"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    dia = hub["nari-labs/Dia-1.6B-0626"]
    shutil.copytree(dia, tmp_path / "MODEL")
    return tmp_path


def limited(self: Synthesizer, settings: SamplingSettings) -> int:
    return MAX_FRAMES


def write_recordings(directory: Path) -> None:
    directory.mkdir()
    rows = ["audio,text"]
    tag = "[anna] " if directory.name == "anna" else ""
    for name in CLIPS:
        write_audio(directory / f"{name}.wav", fake_sentence(int(name), num_sounds=8))
        rows.append(f"{name}.wav,{tag}This is number {name}.")
    (directory / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")


def prepare_page(page: Path, here: Path, hub: dict[str, Path]) -> None:
    text = page.read_text(encoding="utf-8")
    if page.stem == "data":
        write_sources(here)
    for name in RECORDINGS:
        if f"{name}/" in text:
            write_recordings(here / name)
    spec = load_codec(str(hub["descript/dac_44khz"])).spec
    for name in CORPORA.get(page.stem, ()):
        write_corpus(here / name, num_clips=6, spec=spec)
    for name in ("ann.wav", "clip.wav"):
        write_audio(here / name, fake_sentence(1, num_sounds=10))
    for block in blocks(page, "jsonl"):
        (here / "lines.jsonl").write_text(block.text, encoding="utf-8")
    (here / "chapter.txt").write_text("This is one. And this is two.", encoding="utf-8")
    if page.stem in ("settings", "speaking", "evaluating"):
        for end in ("last", "best"):
            shutil.copytree(here / "MODEL", here / "runs" / "voice" / "checkpoints" / end)


def is_run(words: list[str]) -> bool:
    command = " ".join(words) + " "
    return not any(said in command for said in NOT_RUN)


def as_run(words: list[str]) -> list[str]:
    words = list(words)
    while "cuda" in words:
        place = words.index("cuda")
        assert words[place - 1] == "--device"
        del words[place - 1 : place + 1]
    return [*words, *LIMITS] if words[1] == "train" else words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run(
    page: Path,
    here: Path,
    hub: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare_page(page, here, hub)
    for words in filter(is_run, lines(page)):
        monkeypatch.setattr(sys, "argv", as_run(words))
        try:
            main()
        except SystemExit as end:
            assert not end.code, f"{' '.join(words)}: {capsys.readouterr().err}"


def test_what_is_not_run_is_there() -> None:
    commands = [" ".join(words) + " " for page in PAGES for words in lines(page)]
    for said in NOT_RUN:
        assert any(said in command for command in commands), f"no page says {said}: run the rest"
    assert sum(map(is_run, (words for page in PAGES for words in lines(page)))) > 60
