"""For test_compilation.py, as JSON: loss and gradient norm without and with torch.compile, and how
often packed attention is compiled for batches of two, three and five clips."""

import json
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from helpers import small_model
from tiny_run import SPEC, write_corpus

from dialoom.data import Corpus, collate
from dialoom.sequence import Spans, TokenLayout
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
    sys.stdout.write(json.dumps({"steps": results, "num_graphs": count_graphs()}))


def count_graphs() -> int:
    """By a kernel that is none, on whose graphs alone it depends."""
    module: Any = import_module("dialoom.model.packed_attention")
    module.has_kernel = lambda device: True
    module._KERNEL = lambda q, keys, values, from_q, from_k, max_q, max_k, **_: q * max_q
    graphs: list[torch.fx.GraphModule] = []

    def compile_nothing(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    attend = torch.compile(module.packed_attention, backend=compile_nothing, dynamic=True)
    for lengths in ([7, 3], [4, 9, 2], [5, 5, 6, 8, 4]):
        spans = Spans.of(lengths)
        x_THE = torch.ones(sum(lengths), 2, 8, dtype=torch.bfloat16)
        attend(x_THE, x_THE, x_THE, (spans, spans), is_causal=True, scale=1.0)
    return len(graphs)


if __name__ == "__main__":
    main()
