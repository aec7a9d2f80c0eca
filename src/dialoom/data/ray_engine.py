"""The same stages on a Ray cluster: entries go out in blocks, clips come back in their order.

Each actor holds the codec once and does to its block what `encode_entries` does here; shards,
rejections and resuming stay with the one process that holds the directory. So the corpus is the
local engine's, and a run begun by one engine may be finished by the other. Ray's core rather than
Ray Data: shards follow the order of the source, and blocks that Ray Data cuts and orders by itself
would have to be put back into it.

Every machine needs dialoom, the recordings under the same paths, and, for codes that are equal to
the bit, processors that add in the same order.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Self

from dialoom.codec.base import Codec, CodecSpec
from dialoom.codec.load import load_codec
from dialoom.data.clip import Clip, Rejection
from dialoom.data.encoding import PrepareOptions, encode_entries
from dialoom.data.entries import Entry
from dialoom.errors import DataError, UserError

EXTRA = "ray"

BLOCK_SIZE = 32
"""Entries that an actor gets at once: minutes of speech for a CPU, seconds for a GPU."""
BLOCKS_PER_ACTOR = 2
"""The next one is there when an actor has finished one."""
BLOCKS_KEPT_PER_ACTOR = 8
"""Finished blocks may wait for a slow one before them; so many do, then no more are handed out."""

RESTARTS = 3
"""How often an actor whose machine went away begins its block again on another."""


class BlockEncoder:
    """What runs as an actor: one codec."""

    def __init__(self, codec: Codec | str, options: PrepareOptions) -> None:
        self._options = options
        self._codec = codec

    def spec(self) -> CodecSpec:
        return self._load().spec

    def encode(self, entries: list[Entry]) -> list[Clip | Rejection]:
        """In the order of the entries."""
        return list(encode_entries(iter(entries), self._load(), self._options))

    def _load(self) -> Codec:
        """Not when the actor is made: Ray passes on what a method raises, not what makes one."""
        if isinstance(self._codec, str):
            self._codec = load_codec(self._codec, device=self._options.device)
        return self._codec


class RayEngine:
    """A pool of actors on the cluster that RAY_ADDRESS names, else on this machine.

    An actor takes one CPU and, where the codec runs on cuda, one GPU; there are as many as the
    cluster has of these when the engine is opened.
    """

    def __init__(self, codec: Codec | str, options: PrepareOptions) -> None:
        """Takes the codec, or what `load_codec` takes; nothing is started yet."""
        self._codec = codec
        self._options = options
        self._actors: list[Any] = []
        self._is_ours = False

    def __enter__(self) -> Self:
        """Starts the actors.

        Raises:
            DataError: Ray is not installed or not reachable, or the cluster has no GPU for cuda.
            CodecError: the codec cannot be loaded there.
        """
        ray = _import_ray()
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray)
        try:
            self._start(ray)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        ray = _import_ray()
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._is_ours:
            ray.shutdown()

    def _start(self, ray: Any) -> None:
        on_gpu = self._options.device.startswith("cuda")
        resources = ray.cluster_resources()
        count = int(resources.get("GPU" if on_gpu else "CPU", 0))
        if count < 1:
            raise DataError(
                f"--engine ray --device {self._options.device}: the cluster has no "
                f"{'GPU' if on_gpu else 'CPU'}; add a machine that has, or choose another device"
            )
        remote = ray.remote(
            num_cpus=1,
            num_gpus=int(on_gpu),
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )(BlockEncoder)
        codec = ray.put(self._codec)
        self._actors = [remote.remote(codec, self._options) for _ in range(count)]
        with _translated(ray):
            specs: list[CodecSpec] = ray.get([actor.spec.remote() for actor in self._actors])
        if len(set(specs)) > 1:
            raise DataError(
                f"--engine ray: the machines have different weights of codec {specs[0].name}; "
                "install the same dialoom and the same codec on all"
            )
        self.spec = specs[0]

    def encode(self, entries: Iterator[Entry]) -> Iterator[Clip | Rejection]:
        """In the order of the entries.

        Raises:
            DataError: a recording is gone, or machines were lost more often than is made up for.
        """
        ray = _import_ray()
        idle = deque(self._actors * BLOCKS_PER_ACTOR)
        busy: dict[Any, Any] = {}
        ordered: deque[Any] = deque()
        with _translated(ray):
            while True:
                while idle and len(ordered) < BLOCKS_KEPT_PER_ACTOR * len(self._actors):
                    block = [_absolute(entry) for entry in islice(entries, BLOCK_SIZE)]
                    if not block:
                        break
                    actor = idle.popleft()
                    ordered.append(actor.encode.remote(block))
                    busy[ordered[-1]] = actor
                if not ordered:
                    return
                finished, _ = ray.wait(list(busy), num_returns=1) if busy else ([], [])
                idle.extend(busy.pop(block) for block in finished)
                while ordered and ordered[0] not in busy:
                    yield from ray.get(ordered.popleft())


def _absolute(entry: Entry) -> Entry:
    """Actors run in directories of their own."""
    if isinstance(entry, Rejection) or not entry.audio.is_on_disk:
        return entry
    return replace(entry, audio=replace(entry.audio, path=entry.audio.path.absolute()))


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DataError(
            f"--engine ray needs the package ray: pip install 'dialoom[{EXTRA}]'"
        ) from error
    return ray


def _connect(ray: Any) -> None:
    """To the cluster of RAY_ADDRESS, else to one of this machine, made for this run."""
    with _own_signals():
        try:
            ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            address = os.environ.get("RAY_ADDRESS", "")
            raise DataError(
                f"--engine ray: no cluster can be reached ({str(error).splitlines()[0]}); correct "
                f"RAY_ADDRESS ({address or 'not set'})"
            ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray ends the process on SIGTERM; here that saves what is ready first."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _translated(ray: Any) -> Iterator[None]:
    """Errors of an actor as they would be raised here."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except ray.exceptions.RayActorError as error:
        raise DataError(
            f"--engine ray: a machine was lost {RESTARTS + 1} times "
            f"({str(error).splitlines()[0]}); run the same command again: it goes on"
        ) from error
