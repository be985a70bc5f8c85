"""Many tasks on a cluster, of which only so many are under way at once."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from distributed import Client, Future

from geocamss.batch.watch import Watch
from geocamss.errors import RunError

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")

TASKS_A_THREAD = 3
"""Tasks under way for each thread of the cluster."""

TRIES = 3
"""A task that has failed so often has failed."""

TICK = 2.0
"""Seconds between looks at the cluster while nothing comes."""


def each(
    client: Client, call: Callable[[T], R], items: Sequence[T], name: Callable[[T], str]
) -> Iterator[R]:
    """Do the same to all items, and yield what comes of it, as it comes.

    Args:
        client: of the cluster.
        call: what to do; workers import it.
        items: each travels to the worker that does it.
        name: what a task is called; no two alike.

    Raises:
        RunError: a task has failed for good, or the cluster has gone.
    """
    if not items:
        return
    waiting = iter(items)
    watch = Watch(client)
    window = TASKS_A_THREAD * watch.threads()
    # Another call's result of that name, or its error, is not this one's.
    own = uuid.uuid4().hex
    ended: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
    flying: set[Future[R]] = set()

    def submit(item: T) -> None:
        key = f"{name(item)}-{own}"
        future = client.submit(call, item, key=key, retries=TRIES - 1, pure=False)
        flying.add(future)
        future.add_done_callback(ended.put)

    try:
        for item in islice(waiting, max(4, window)):
            submit(item)
        while flying:
            try:
                future = ended.get(timeout=TICK)
            except queue.Empty:
                watch.threads()
                continue
            found = _result(future)
            if not found:
                watch.threads()
                future.add_done_callback(ended.put)
                continue
            flying.discard(future)
            for item in islice(waiting, 1):
                submit(item)
            yield from found
    finally:
        if client.status == "running":
            for future in flying:
                future.cancel()


def _result(future: Future[R]) -> list[R]:
    """What has come of a task; nothing when its worker has gone with it, and it is done anew.

    Raises:
        RunError: the task has failed for good.
    """
    try:
        return [future.result(timeout=TICK)]
    except Exception as error:
        if isinstance(error, TimeoutError) and future.status != "error":
            return []
        raise RunError(f"{future.key}: {error}") from error
