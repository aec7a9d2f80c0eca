"""What a person who installs dialoom gets: fast imports, and the files that code looks for."""

import csv
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import soundfile as sf

import dialoom

ROOT = Path(__file__).resolve().parents[1]
DEMO = files("dialoom") / "demo_data"


def modules_after(statement: str) -> set[str]:
    """The top-level modules of a fresh interpreter that ran a statement."""
    source = str(Path(dialoom.__file__).resolve().parents[1])
    program = (
        f"import sys; sys.path.insert(0, {source!r}); {statement}; print(*sys.modules, sep='\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in result.stdout.split()}


def test_import_dialoom_imports_no_torch():
    assert modules_after("import dialoom").isdisjoint({"torch", "transformers", "matplotlib"})


def test_reading_metrics_imports_no_torch():
    assert modules_after("import dialoom.observe").isdisjoint({"torch", "transformers"})


def test_the_demo_clips_are_there_with_their_transcripts():
    with (DEMO / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    clips = [DEMO / row["audio"] for row in rows]
    assert sorted(path.name for path in (DEMO / "clips").iterdir()) == sorted(p.name for p in clips)
    durations = [sf.info(str(path)).duration for path in clips]
    assert all(1.5 < duration < 5.1 for duration in durations), "the base heard no longer clips"
    assert 330 < sum(durations) < 400
    assert sum(path.stat().st_size for path in map(Path, map(str, clips))) < 3_000_000
    assert all(re.fullmatch(r"(\[S[12]\] [^\[\]]+ ?)+", row["text"]) for row in rows)
    assert len({row["text"] for row in rows}) == len(rows) >= 100
    assert {row["language"] for row in rows} == {"en"}


def test_the_demo_holds_out_enough_sentences_to_measure():
    from dialoom.data import split_of
    from dialoom.demo import VALID_FRACTION

    splits = [split_of(f"clips/demo_{n:03d}", VALID_FRACTION) for n in range(1, 117)]
    assert splits.count("valid") == 22


def test_every_dependency_is_pinned():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        normalize(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(r for extra in extras for r in extra)]:
        assert normalize(re.split(r"[<>=!~\[ ]", requirement)[0]) in pinned, requirement


def test_the_pinned_torch_names_no_build():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
