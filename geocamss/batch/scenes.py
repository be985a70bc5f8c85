"""A scene on its way through a job, as the client knows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from geocamss.batch.orders import Opened, Order
from geocamss.output.areas import ClassArea
from geocamss.output.folder import OutputFolder

__all__ = ["SceneResult", "SceneState", "State"]

State = Literal["done", "kept", "failed", "left"]
"""``kept``: an earlier run had finished it. ``left``: not come to an end, nor failed."""


@dataclass(frozen=True)
class SceneResult:
    """What became of a scene."""

    id: str
    """Its name in the job."""

    source: str
    """What was mapped."""

    key: str
    """Hash of all that fixes its map; empty where that is not known."""

    state: State
    """How it ended."""

    reason: str
    """Why it did not end well; empty where it did."""

    folder: Path
    """Where its map is, or would be."""

    pixels: int
    """Of the grid; 0 where it is not known."""

    blocks: int
    """That it was cut into; 0 where it is not known."""

    seconds: float
    """That workers spent on it, by the wall clock."""

    retries: int
    """Tasks that were tried again."""

    batch: int | None
    """Chips at once; None where it is not known."""

    datetime: datetime | None
    """When it was acquired, UTC."""

    areas: tuple[ClassArea, ...]
    """Of the classes; empty where there is no map."""

    thumbnail: str
    """A small picture of the map, PNG in base 64; empty where there is none."""

    @property
    def mapped(self) -> bool:
        """Whether its map is there."""
        return self.state in ("done", "kept")


@dataclass
class SceneState:
    """A scene on its way: what is known, what is under way, and what is left."""

    order: Order
    """What workers are told."""

    number: int
    """Its place in the job, from 0: earlier ones go first."""

    opened: Opened | None = None
    """None until it has been looked at."""

    todo: deque[tuple[int, int]] = field(default_factory=deque)
    """Blocks that no worker has been asked for yet, by row and column."""

    open_blocks: int = 0
    """Blocks that are not done."""

    folder: OutputFolder | None = None
    """Where its map grows; held by this process."""

    generation: int = 0
    """Counts how often the scene has begun anew; what older tasks say is not heard."""

    tries: dict[str, int] = field(default_factory=dict)
    """How often each task has been tried in vain."""

    shrunk: int = 0
    """How often it has begun anew with less at once."""

    deaths: int = 0
    """How often a task was given up because its workers died."""

    retries: int = 0
    """Tasks that were tried again."""

    seconds: float = 0.0
    """That workers spent."""

    asked: int | None = field(init=False)
    """Chips at once that the user asks for; memory may have left less of it."""

    result: SceneResult | None = None
    """None until it has come to an end."""

    def __post_init__(self) -> None:
        """Remember what is asked for."""
        self.asked = self.order.request.batch_size

    @property
    def sizes(self) -> dict[str, Any]:
        """What a later run needs to know to choose the same blocks and batch."""
        return self.opened.sizes | {"asked": self.asked} if self.opened else {}

    @property
    def pixels(self) -> int:
        """Of the grid; 0 while it is not known."""
        return self.opened.layout.shape[0] * self.opened.layout.shape[1] if self.opened else 0

    @property
    def blocks(self) -> int:
        """That the grid is cut into; 0 while it is not known."""
        if self.opened is None:
            return 0
        rows, cols = self.opened.layout.block_shape
        return rows * cols

    def begin_anew(self) -> None:
        """Forget what has been done, and hear no more of what is under way."""
        self.generation += 1
        self.shrunk += 1
        self.retries += 1
        self.deaths = self.open_blocks = 0
        self.tries.clear()
        self.todo.clear()

    def end(
        self,
        state: State,
        reason: str = "",
        *,
        areas: tuple[ClassArea, ...] = (),
        thumbnail: str = "",
        seconds: float | None = None,
    ) -> SceneResult:
        """Say how it ended."""
        opened = self.opened
        self.todo.clear()
        self.result = SceneResult(
            id=self.order.id,
            source=self.order.path,
            key=opened.key if opened else "",
            state=state,
            reason=reason,
            folder=self.order.folder,
            pixels=self.pixels,
            blocks=self.blocks,
            seconds=self.seconds if seconds is None else seconds,
            retries=self.retries,
            batch=opened.batch if opened else None,
            datetime=opened.datetime if opened else None,
            areas=areas,
            thumbnail=thumbnail,
        )
        return self.result
