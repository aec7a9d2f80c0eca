"""N clients ask a server for T seconds: no wrong answer, no lost request, flat memory.

    python benchmarks/serve_load.py --clients 64 --seconds 60 --model mini [--queue 64]

`dialoom serve` runs in a process of its own. Each text is first asked for alone; under load every
answer must have the same type, decode, and hold the same sound. A refusal must be 429 or 503 and
say when to come again, and its client does. Exits with 1 if an answer is wrong or lost, or if the
server's memory has grown. Without --model, of a small random one.
"""

import argparse
import collections
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from served import small_synthesizer

from dialoom.checkpoint import save_pretrained

NUM_TEXTS = 15
FORMATS = ("wav", "pcm", "flac", "mp3", "opus")
MAX_SECONDS = 0.5
WARM_UP_SHARE = 0.3
"""Of the time, before which memory may still grow."""

ALLOWED_GROWTH_MIB = 64
TOLERANCE = {"mp3": 0.05, "opus": 0.05}
"""Of full scale: streams are decoded in windows, equal to -60 dB, and coded again."""

EXACT_TOLERANCE = 2e-3


class Load:
    """What the clients saw."""

    def __init__(self, url: str, seconds: float) -> None:
        self.url = url
        self.alone = [self.post(httpx2, index) for index in range(NUM_TEXTS)]
        assert all(answer.status_code == 200 for answer in self.alone), self.alone
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.waits: list[float] = []
        self.lock = threading.Lock()

    def post(self, client: object, index: int) -> httpx2.Response:
        post = client.post  # type: ignore[attr-defined]
        return post(f"{self.url}/v1/audio/speech", json=wish_of(index), timeout=300)

    def ask(self, client_index: int) -> None:
        with httpx2.Client() as client:
            turn = client_index
            while time.monotonic() < self.end:
                began = time.monotonic()
                outcome = self.one(client, turn % NUM_TEXTS)
                with self.lock:
                    self.outcomes[outcome] += 1
                    if outcome.startswith("right"):
                        self.waits.append(time.monotonic() - began)
                turn += 7

    def one(self, client: httpx2.Client, index: int) -> str:
        try:
            answer = self.post(client, index)
        except httpx2.HTTPError as error:
            return f"lost: {type(error).__name__}"
        if answer.status_code in (429, 503) and "retry-after" in answer.headers:
            time.sleep(float(answer.headers["retry-after"]))
            return f"refused with {answer.status_code}, told when to come again"
        if answer.status_code != 200:
            return f"wrong: status {answer.status_code}"
        wanted = self.alone[index]
        if answer.headers["content-type"] != wanted.headers["content-type"]:
            return "wrong: type"
        return judged(answer.content, wanted.content, FORMATS[index % len(FORMATS)])


def judged(answer: bytes, wanted: bytes, format: str) -> str:
    if answer == wanted:
        return "right, to the byte"
    try:
        heard, known = decoded(answer, format), decoded(wanted, format)
    except soundfile.LibsndfileError:
        return "wrong: does not decode"
    if heard.shape != known.shape:
        return "wrong: length"
    is_same = np.abs(heard - known).max() <= TOLERANCE.get(format, EXACT_TOLERANCE)
    return "right, to the ear" if is_same else "wrong: another sound"


def decoded(data: bytes, format: str) -> np.ndarray:
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32768
    return soundfile.read(io.BytesIO(data))[0]


def wish_of(index: int) -> dict[str, object]:
    return {
        "model": "model",
        "response_format": FORMATS[index % len(FORMATS)],
        "input": f"[S1] This is text {index}. [S2] Is it?",
        "seed": index,
        "cfg_scale": 3.0 if index % 2 else 0.0,
        "max_seconds": MAX_SECONDS * (1 + index % 4) / 4,
    }


@contextlib.contextmanager
def server(model: str, queue: int) -> Iterator[tuple[str, int]]:
    """Its address and process id; it must end well."""
    command = [sys.executable, "-m", "dialoom.cli.main", "serve", f"model={model}"]
    command += ["--port", "0", "--max-batch", "16", "--max-queue", str(queue)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"running on (http://127.0.0.1:\d+)", line)
            if found is not None:
                break
        else:
            sys.exit("the server did not start")
        said = threading.Thread(target=lambda: sys.stderr.writelines(process.stderr or []))
        said.start()
        yield found[1], process.pid
        process.terminate()
        said.join()
        assert process.wait() == 0


def resident_mib(pid: int | str = "self") -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--queue", type=int, default=64, help="requests that may wait")
    parser.add_argument("--model", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = options.model
        if model is None:
            model = str(Path(directory) / "small")
            synthesizer = small_synthesizer()
            save_pretrained(synthesizer.model, synthesizer.info, Path(model))
        with server(model, options.queue) as (url, pid):
            load = Load(url, options.seconds)
            memory = run(load, options.clients, pid)
            batches = batch_mean(url)
    sys.exit(report(load, options, memory, batches))


def run(load: Load, num_clients: int, pid: int) -> tuple[float, float]:
    """The server's memory after the warm-up and at the end."""
    clients = [threading.Thread(target=load.ask, args=(n,)) for n in range(num_clients)]
    for client in clients:
        client.start()
    time.sleep(WARM_UP_SHARE * load.seconds)
    warm = resident_mib(pid)
    for client in clients:
        client.join()
    return warm, resident_mib(pid)


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
    print(f"{options.clients} clients, {options.seconds:g} s: {load.outcomes.total()} answers")
    for outcome, number in load.outcomes.most_common():
        print(f"{number:6d}  {outcome}")
    waits = np.percentile(load.waits, [50, 95, 100])
    print(f"wait: median {waits[0]:.2f} s, 95 % {waits[1]:.2f} s, most {waits[2]:.2f} s")
    print(
        f"batches of {batches:.1f} requests; memory {warm:.0f} MiB warm, {last:.0f} MiB at the end"
    )
    is_flat = last - warm < ALLOWED_GROWTH_MIB
    is_right = all(outcome.startswith(("right", "refused")) for outcome in load.outcomes)
    return 0 if is_flat and is_right else 1


if __name__ == "__main__":
    main()
