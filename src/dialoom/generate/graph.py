"""A step's work on a GPU, recorded once and replayed: one launch in place of a thousand."""

from collections.abc import Callable, Hashable

import torch


class GraphedCalls:
    """Calls a function of fixed tensors, on a GPU through CUDA graphs, one for each key.

    The function takes and returns nothing; it reads and writes tensors in place, so it may be
    called as often as it is to have an effect, and not once more for the recording: the first
    call of a key runs as it is, which also loads the kernels, the second is recorded.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_recorded = device.type == "cuda"
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}

    def __call__(self, key: Hashable, function: Callable[[], None]) -> None:
        if not self._is_recorded or key not in self._seen:
            self._seen.add(key)
            function()
            return
        if key not in self._graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                function()
            self._graphs[key] = graph
        self._graphs[key].replay()

    def forget(self) -> None:
        """To be called when the function's tensors were replaced."""
        self._seen.clear()
        self._graphs.clear()
