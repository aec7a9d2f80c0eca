"""A server in this process, with small models that never end by themselves."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import uvicorn
from fastapi import FastAPI
from helpers import small_model

from dialoom.checkpoint import ModelInfo
from dialoom.codec import load_codec
from dialoom.generate import Synthesizer

QUICK = {"max_seconds": 0.15, "cfg_scale": 0}


def small_synthesizer(seed: int = 0) -> Synthesizer:
    codec = load_codec("mini")
    model = small_model(seed=seed)
    with torch.no_grad():
        model.logits_dense.weight[1024] = 0
    return Synthesizer(model, ModelInfo(codec=codec.spec), codec)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A real uvicorn on a free port; its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
