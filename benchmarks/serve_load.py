"""N clients ask a server for T seconds: no wrong answer, no lost request, flat memory.

    python benchmarks/serve_load.py --clients 64 --seconds 60 [--model MODEL]

Every answer must be the codes that the model says alone for that text and seed, as sound; without
--model, of a small random one. Exits with 1 if one is wrong or lost, or if memory has grown.
"""

import argparse
import collections
import os
import socket
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import torch
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from served import small_synthesizer

from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.narration import Narration
from dialoom.serve import ServeSettings, create_app

NUM_TEXTS = 12
MAX_SECONDS = 0.5
WARM_UP_SHARE = 0.3
"""Of the time, before which memory may still grow."""

ALLOWED_GROWTH_MIB = 64
TOLERANCE = 2e-3
"""Of full scale: streams are decoded in windows, equal to -60 dB, and have 16 bits."""


class Load:
    """What the clients saw."""

    def __init__(self, url: str, wanted: list[np.ndarray], seconds: float) -> None:
        self.url, self.wanted = url, wanted
        self.end = time.monotonic() + seconds
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.waits: list[float] = []
        self.lock = threading.Lock()

    def ask(self, client_index: int) -> None:
        with httpx2.Client(timeout=300) as client:
            turn = client_index
            while time.monotonic() < self.end:
                began = time.monotonic()
                outcome = self.one(client, turn % NUM_TEXTS)
                with self.lock:
                    self.outcomes[outcome] += 1
                    self.waits.append(time.monotonic() - began)
                turn += 7

    def one(self, client: httpx2.Client, index: int) -> str:
        wish = {"model": "model", "response_format": "wav", **wish_of(index)}
        try:
            answer = client.post(f"{self.url}/v1/audio/speech", json=wish)
        except httpx2.HTTPError as error:
            return f"lost: {type(error).__name__}"
        if answer.status_code != 200:
            return f"status {answer.status_code}"
        heard = np.frombuffer(answer.content[44:], "<i2") / 32768
        wanted = self.wanted[index]
        if heard.shape != wanted.shape or np.abs(heard - wanted).max() > TOLERANCE:
            return "wrong"
        return "right"


def wish_of(index: int) -> dict[str, object]:
    seconds = MAX_SECONDS * (1 + index % 4) / 4
    return {
        "input": f"[S1] This is text {index}. [S2] Is it?",
        "seed": index,
        "cfg_scale": 3.0 if index % 2 else 0.0,
        "max_seconds": seconds,
    }


def alone(synthesizer: Synthesizer, index: int) -> np.ndarray:
    wish = wish_of(index)
    text = str(wish.pop("input"))
    pieces = Narration(synthesizer, text, SamplingSettings(**wish))
    return np.clip(np.concatenate([piece.samples for piece in pieces]), -1, 1)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    synthesizer = Synthesizer.load(options.model) if options.model else small_synthesizer()
    wanted = [alone(synthesizer, index) for index in range(NUM_TEXTS)]
    limits = ServeSettings(max_rows=16, max_waiting=options.clients)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = create_app({"model": synthesizer}, limits)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    serving.start()
    while not server.started:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    load = Load(url, wanted, options.seconds)
    memory = run(load, options)
    batches = batch_mean(url)
    server.should_exit = True
    serving.join()
    sys.exit(report(load, options, memory, batches))


def run(load: Load, options: argparse.Namespace) -> tuple[float, float]:
    """Memory after the warm-up and at the end."""
    clients = [threading.Thread(target=load.ask, args=(n,)) for n in range(options.clients)]
    for client in clients:
        client.start()
    time.sleep(WARM_UP_SHARE * options.seconds)
    warm = resident_mib()
    for client in clients:
        client.join()
    return warm, resident_mib()


def batch_mean(url: str) -> float:
    lines = dict(
        line.rsplit(" ", 1) for line in httpx2.get(f"{url}/metrics").text.splitlines() if line
    )
    name = 'dialoom_batch_size_{}{{model="model"}}'
    return float(lines[name.format("sum")]) / max(1.0, float(lines[name.format("count")]))


def report(
    load: Load, options: argparse.Namespace, memory: tuple[float, float], batches: float
) -> int:
    warm, last = memory
    num = sum(load.outcomes.values())
    print(f"{options.clients} clients, {options.seconds:g} s: {num} answers, {dict(load.outcomes)}")
    waits = np.percentile(load.waits, [50, 95, 100])
    print(f"wait: median {waits[0]:.2f} s, 95 % {waits[1]:.2f} s, most {waits[2]:.2f} s")
    print(
        f"batches of {batches:.1f} requests; memory {warm:.0f} MiB warm, {last:.0f} MiB at the end"
    )
    is_flat = last - warm < ALLOWED_GROWTH_MIB
    return 0 if is_flat and set(load.outcomes) == {"right"} else 1


if __name__ == "__main__":
    main()
