"""Whatever lies in a folder, the run goes on, and what was left out has a reason."""

import json
from pathlib import Path

from damaged_files import write_damaged
from fake_source import prepare_fake

from dialoom.data import Corpus


def test_no_crash_and_a_reason_each(tmp_path: Path) -> None:
    """60 here; benchmarks/damaged.py takes 500 and real codecs."""
    outcomes = write_damaged(tmp_path / "source", 60)
    summary = prepare_fake(tmp_path / "source", tmp_path / "out")
    lines = (tmp_path / "out/rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = {item["source"]: item for item in map(json.loads, lines)}
    corpus = Corpus.open(tmp_path / "out")
    accepted = {corpus[i].source for i in range(summary.info.num_clips)}
    assert rejected.keys() | accepted == outcomes.keys()
    assert not rejected.keys() & accepted
    for name, outcome in outcomes.items():
        assert outcome == "either" or (name in rejected) == (outcome == "rejected"), name
    for item in rejected.values():
        assert item["reason"] and item["remedy"] and "\n" not in item["reason"] + item["remedy"]
