"""What travels between the client and its workers: paths and small values, never pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from geocamss.output.areas import ClassArea
from geocamss.request import Request
from geocamss.scene.tiles import Layout

__all__ = ["Failure", "Finished", "Opened", "Order", "Outcome"]


@dataclass(frozen=True)
class Order:
    """What a worker has to know of a scene to map any part of it."""

    id: str
    """The scene's name in the job."""

    path: str
    """What ``Scene.open`` takes."""

    request: Request
    """How to map it; the model by name or file."""

    folder: Path
    """Where its map goes."""

    block_tiles: tuple[int, int] | None = None
    """Rows and columns of tiles in a block, where larger ones have taken too much memory."""

    journal: Mapping[str, Any] = field(default_factory=dict)
    """What is taken up: what an earlier run left behind, or, once the scene is open, this one."""

    problem: str = ""
    """Why it cannot be mapped, if that is known beforehand."""

    key: str = ""
    """Of the run that the client has reserved the folder for; empty until the scene is open."""


@dataclass(frozen=True)
class Opened:
    """What a worker found out about a scene."""

    key: str
    """Hash of all that fixes the map."""

    provenance: dict[str, Any]
    """What the key stands for."""

    sizes: dict[str, Any]
    """What a later run needs to know to choose the same blocks and batch."""

    shaping: str
    """What polygons are to be like, in words that change when it does."""

    layout: Layout
    """Its blocks."""

    work: int
    """Bytes on disk while the map is being made."""

    batch: int
    """Chips at once, as the worker would choose, or was told."""

    datetime: datetime | None
    """When the scene was acquired."""

    device: str
    """Where the worker runs the network."""

    confidence: bool
    """Whether blocks hold it."""


@dataclass(frozen=True)
class Finished:
    """What a worker says of a map that it has put together."""

    folder: str
    """Name of the folder, beside the work folder, that holds the files; empty if none were made."""

    areas: tuple[ClassArea, ...]
    """Of the classes."""

    thumbnail: str
    """A small picture of the map, PNG in base 64; empty if there is none."""


@dataclass(frozen=True)
class Failure:
    """Why a task did not do what it should; in place of the error, which may not travel."""

    kind: Literal["scene", "job", "memory", "disk", "worker", "other"]
    """Whose fault it is. ``scene``: trying again is of no use. ``job``: no scene will do.
    ``memory``: with less at once it may. ``disk``: it is full. ``worker``: any other worker may do
    it. ``other``: try again elsewhere."""

    message: str
    """For the report."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended."""

    worker: str
    """Address of the worker that did it."""

    seconds: float
    """That it took, by the wall clock."""

    value: Any = None
    """What it found; None when it failed."""

    failure: Failure | None = None
    """None when it did not fail."""

    warnings: tuple[str, ...] = ()
    """What the user should know."""
