"""500 damaged clips through the real command: no crash, no hang, a reason for each left out.

python benchmarks/damaged.py DIRECTORY [--number 500] [--seed 0]
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from damaged_files import write_damaged

from dialoom.data import Corpus

TIMEOUT_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    source, out = arguments.directory / "source", arguments.directory / "out"
    outcomes = write_damaged(source, arguments.number, arguments.seed)
    command = [sys.executable, "-m", "dialoom.cli.main", "prepare", str(source), str(out)]
    started_s = time.monotonic()
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    took_s = time.monotonic() - started_s

    lines = (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = {item["source"]: item["reason"] for item in map(json.loads, lines)}
    corpus = Corpus.open(out)
    accepted = {corpus[i].source for i in range(len(corpus))}
    assert rejected.keys() | accepted == outcomes.keys()
    wrong = [
        name
        for name, outcome in outcomes.items()
        if outcome != "either" and (name in rejected) != (outcome == "rejected")
    ]
    assert not wrong, wrong
    assert all(rejected.values())
    print(f"{len(outcomes)} clips, {len(rejected)} rejected with a reason, {took_s:.0f} s")
    kinds = Counter((name.split(".")[0][4:], name in rejected) for name in outcomes)
    for (kind, is_rejected), count in sorted(kinds.items()):
        print(f"{kind:>20} {'rejected' if is_rejected else 'accepted'} {count:4d}")


if __name__ == "__main__":
    main()
