"""Loss and gradient norm with and without torch.compile, as JSON; for test_compilation.py."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus

from dialoom.data import Corpus, collate
from dialoom.sequence import TokenLayout
from dialoom.text import TagTable
from dialoom.train import TrainSettings
from dialoom.train.objective import build_objective
from dialoom.train.step import train_step


def main() -> None:
    corpus = Corpus.open(write_corpus(Path(sys.argv[1]) / "corpus", num_clips=4))
    batch = collate(
        [corpus[i] for i in range(len(corpus))],
        layout=TokenLayout(),
        tags=TagTable.default(),
        frames_per_second=SPEC.frames_per_second,
    )
    results = []
    for compiled in (False, True):
        model = small_model().train()
        settings = TrainSettings(steps=1, guided_attention=20, compile=compiled)
        objective = build_objective(model, settings, nullcontext())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        result = train_step(model, [batch], optimizer, objective)
        results.append([float(result.sums.weighted), result.grad_norm])
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
