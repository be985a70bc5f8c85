"""Whether a cluster is still there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from geocamss.errors import RunError

__all__ = ["GONE", "PATIENCE", "Watch"]

PATIENCE = 300.0
"""Seconds without any worker, or without the scheduler, until the job is given up."""

GONE = (
    "the scheduler has gone away; what is finished is kept, and the same command goes on from "
    "there when there is a scheduler again"
)
"""What there is to say then."""


@dataclass
class Watch:
    """Remembers when a cluster had a worker that takes tasks."""

    client: Client
    """Of the cluster."""

    most_workers: int = field(default=0, init=False)
    """Most that took tasks at a time."""

    most_threads: int = field(default=0, init=False)
    """Likewise, of their threads."""

    _peopled: float = field(default_factory=time.monotonic, init=False)

    def threads(self) -> int:
        """Tasks that the cluster does at once; 0 while it has no worker, or does not say.

        Workers that Dask has paused are there, and do nothing.

        Raises:
            RunError: the scheduler has gone, or there has been no worker for long.
        """
        if self.client.status not in ("running", "connecting"):
            raise RunError(GONE)
        try:
            running = running_threads(self.client)
        except (OSError, TimeoutError):
            running = {}
        threads = sum(running.values())
        self.most_workers = max(self.most_workers, len(running))
        self.most_threads = max(self.most_threads, threads)
        now = time.monotonic()
        if threads:
            self._peopled = now
        elif now - self._peopled > PATIENCE:
            raise RunError(
                f"the cluster has had no worker for {PATIENCE:.0f} s, or none but paused ones; "
                "what is finished is kept, and the same command goes on from there"
            )
        return threads


def running_threads(client: Client) -> dict[str, int]:
    """The threads of each worker that takes tasks, by its address."""
    scheduler: Any = client.scheduler
    if scheduler is None:  # the client has just closed
        return {}
    found: dict[str, int] = client.sync(scheduler.ncores_running)
    return found
