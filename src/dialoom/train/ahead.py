"""An iterator that works ahead in a thread of its own."""

import threading
from collections.abc import Iterator
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.1
"""How often a thread whose queue is full looks whether anybody still listens."""


def made_ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items in the same order, up to `count` of them made before they are asked for.

    What `items` raises is raised where its item would have come. Closing ends the thread.
    """
    queue: Queue[tuple[str, T | BaseException | None]] = Queue(maxsize=count)
    closed = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, queue, closed), name="feed", daemon=True)
    thread.start()
    try:
        while True:
            kind, content = queue.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(content, BaseException)
                raise content
            yield content  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()


def _fill(
    items: Iterator[T],
    queue: "Queue[tuple[str, T | BaseException | None]]",
    closed: threading.Event,
) -> None:
    try:
        for item in items:
            if not _put(queue, ("item", item), closed):
                return
        _put(queue, ("end", None), closed)
    except BaseException as error:  # raised again by the thread that asks
        _put(queue, ("error", error), closed)


def _put(
    queue: "Queue[tuple[str, T | BaseException | None]]",
    entry: tuple[str, T | BaseException | None],
    closed: threading.Event,
) -> bool:
    """Whether the entry was taken; False where nobody listens any more."""
    while not closed.is_set():
        try:
            queue.put(entry, timeout=_POLL_S)
            return True
        except Full:
            continue
    return False
