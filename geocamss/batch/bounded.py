"""Many tasks on a cluster, of which only so many are under way at once."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from distributed import Client, Future

from geocamss.errors import RunError

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")

TASKS_A_THREAD = 3
"""Tasks under way for each thread of the cluster."""

TRIES = 3
"""A task that has failed so often has failed."""


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
        RunError: a task has failed for good.
    """
    if not items:
        return
    waiting = iter(items)
    window = TASKS_A_THREAD * int(client.scheduler_info(n_workers=1)["total_threads"])
    ended: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
    flying: set[Future[R]] = set()

    def submit(item: T) -> None:
        # Another job's result of that name is not this one's.
        key = f"{name(item)}-{client.id[-6:]}"
        future = client.submit(call, item, key=key, retries=TRIES - 1)
        flying.add(future)
        future.add_done_callback(ended.put)

    for item in islice(waiting, max(4, window)):
        submit(item)
    while flying:
        future = ended.get()
        flying.discard(future)
        try:
            result = future.result()
        except Exception as error:
            raise RunError(f"{future.key}: {error}") from error
        for item in islice(waiting, 1):
            submit(item)
        yield result
