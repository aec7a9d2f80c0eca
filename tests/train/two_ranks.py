"""One of two processes that train together; the test starts both, with torchrun's environment.

python two_ranks.py DIRECTORY JSON PORTS; JSON lists the runs: name, resume, settings of `train`
and `rank_1_holds`, the decoder steps that rank 1 has memory for. Each run meets at a port of its
own, so that a rank that is ahead does not join the run before.
"""

import faulthandler
import gc
import json
import os
import sys
from pathlib import Path

import pytest
from little_memory import memory_for
from tiny_run import tiny_recipe

from dialoom.recipe import run_recipe
from dialoom.train.step import StepLoss


def main(
    directory: Path, runs: list[tuple[str, bool, dict[str, object]]], ports: list[str]
) -> None:
    for (name, resume, train), port in zip(runs, ports, strict=True):
        os.environ["MASTER_PORT"] = port
        cells = train.pop("rank_1_holds", None)
        with pytest.MonkeyPatch.context() as patch:
            if isinstance(cells, int) and os.environ["RANK"] == "1":
                patch.setattr(StepLoss, "forward", memory_for(cells))
            run_recipe(tiny_recipe(directory, **train), directory / name, resume=resume)
        gc.collect()  # a process group of one run must not be freed in a thread of the next


if __name__ == "__main__":
    faulthandler.dump_traceback_later(400, exit=True)  # a rank that hangs says where
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3].split(","))
