"""Running a generator in a thread of its own, some items ahead of who takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


class _End:
    """Says that no item follows, and why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Yield the items in order while a thread prepares up to ``depth`` more of them.

    An error in the source is raised here, after the items before it. When the taker stops early
    and closes the generator, the thread ends after the item in hand.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=max(1, depth))
    stopped = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(items, ready, stopped), name="geocamss-ahead", daemon=True
    )
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def _fill(items: Iterable[T], ready: queue.Queue[T | _End], stopped: threading.Event) -> None:
    try:
        for item in items:
            if not _put(ready, item, stopped):
                return
    except BaseException as error:  # noqa: BLE001  (raised again where the items are taken)
        _put(ready, _End(error), stopped)
    else:
        _put(ready, _End(), stopped)


def _put(ready: queue.Queue[T | _End], item: T | _End, stopped: threading.Event) -> bool:
    """Wait for room; False when the taker has gone."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
