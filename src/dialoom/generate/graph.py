"""A step's work on a GPU, recorded once and replayed: one launch in place of a thousand."""

import threading
from collections.abc import Callable, Hashable

import torch

_RECORDING = threading.Lock()
"""PyTorch records one graph at a time in a process; a server has a thread for each model."""


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
            # In the usual mode a cudaMalloc or a query of an event in another thread, as a server's
            # codec and NCCL's watchdog make them, ends in an error, and the recording with it.
            with _RECORDING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
                function()
            self._graphs[key] = graph
        self._graphs[key].replay()

    def forget(self) -> None:
        """To be called when the function's tensors were replaced."""
        self._seen.clear()
        self._graphs.clear()
