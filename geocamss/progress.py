"""Progress: how far something has come, told while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    stage: str
    """What is being done: ``map``, then the name of an output; ``polygons`` of a class raster."""

    done: int
    """Of ``total``."""

    total: int
    """Pixels for ``map``, and for ``polygons`` as often as they are read; for an output, 1."""
