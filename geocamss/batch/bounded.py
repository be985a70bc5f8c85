"""Many tasks on a cluster, of which only so many are under way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from distributed import Client, as_completed

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
    threads = client.scheduler_info(n_workers=1)["total_threads"]

    def submit(item: T) -> object:
        # It is pure, but another job's result of that name is not this one's.
        return client.submit(call, item, key=f"{name(item)}-{client.id[-6:]}", retries=TRIES - 1)

    flying = as_completed(
        [submit(item) for item in islice(waiting, max(4, TASKS_A_THREAD * threads))]
    )
    for future in flying:
        try:
            yield future.result()
        except Exception as error:
            raise RunError(f"{future.key}: {error}") from error
        for item in islice(waiting, 1):
            flying.add(submit(item))
