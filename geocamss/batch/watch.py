"""Whether a cluster is still there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

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
    """Remembers when a cluster had a worker."""

    client: Client
    """Of the cluster."""

    _peopled: float = field(default_factory=time.monotonic, init=False)

    def threads(self) -> int:
        """Tasks that the cluster does at once; 0 while it has no worker, or does not say.

        Raises:
            RunError: the scheduler has gone, or there has been no worker for long.
        """
        if self.client.status not in ("running", "connecting"):
            raise RunError(GONE)
        try:
            threads = int(self.client.scheduler_info(n_workers=1)["total_threads"])
        except (OSError, TimeoutError):
            threads = 0
        now = time.monotonic()
        if threads:
            self._peopled = now
        elif now - self._peopled > PATIENCE:
            raise RunError(
                f"the cluster has had no worker for {PATIENCE:.0f} s; what is finished is kept, "
                "and the same command goes on from there"
            )
        return threads
