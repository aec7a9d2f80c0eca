"""One of two processes that train together; the test starts both, with torchrun's environment.

python two_ranks.py DIRECTORY JSON, where JSON lists the runs: name, resume, settings of `train`.
"""

import json
import sys
from pathlib import Path

from tiny_run import tiny_recipe

from dialoom.recipe import run_recipe


def main(directory: Path, runs: list[tuple[str, bool, dict[str, object]]]) -> None:
    for name, resume, train in runs:
        run_recipe(tiny_recipe(directory, **train), directory / name, resume=resume)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
