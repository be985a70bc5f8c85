"""What a job would do and take, found out without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from geocamss.errors import InputError, RunError
from geocamss.probe import Probe
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.catalog import SceneSource

__all__ = ["JobPlan", "plan_job"]


@dataclass(frozen=True)
class JobPlan:
    """What a job would do and take."""

    scenes: int
    """Those that can be mapped."""

    refused: tuple[tuple[str, str], ...]
    """Those that cannot, by name, each with the reason."""

    blocks: int
    """Of all scenes."""

    tiles: int
    """Of all scenes; those that hold nothing to map are counted as well."""

    pixels: int
    """Of all maps."""

    read: int
    """Bytes of pixels that the model is shown, halos included, before compression."""

    work: int
    """Bytes in the output folder while everything is under way; the files take less."""

    seconds: float
    """How long one process on this machine takes, from the time of a few chips of the first
    scene."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as for JSON."""
        return asdict(self)


def plan_job(sources: Sequence[SceneSource], request: Request) -> JobPlan:
    """Open all scenes, map a few chips of the first, and add up.

    Raises:
        InputError: there is no scene that can be mapped.
        ModelError: the model cannot be used.
    """
    segmenter = request.segmenter()
    seconds: float | None = None
    blocks = tiles = pixels = read = work = scenes = 0
    refused = []
    for source in sources:
        if source.problem:
            refused.append((source.id, source.problem))
            continue
        try:
            run = request.run(source.path, segmenter)
            if seconds is None:
                seconds = Probe.of(run).seconds
        except (InputError, RunError) as error:
            refused.append((source.id, str(error)))
            continue
        layout = run.layout
        scenes += 1
        blocks += prod(layout.block_shape)
        tiles += len(layout.tile_rows) * len(layout.tile_cols)
        pixels += run.grid.width * run.grid.height
        read += _read(run)
        work += run.work
    if seconds is None:
        raise InputError(f"no scene can be mapped; the first: {refused[0][1] if refused else '-'}")
    return JobPlan(scenes, tuple(refused), blocks, tiles, pixels, read, work, tiles * seconds)


def _read(run: Run) -> int:
    """Bytes that the chips of a run are made of, each row and column of a block once."""
    lattice, total = run.layout.lattice, 0
    for block in run.layout.blocks():
        high, wide = len(block.rows), len(block.cols)
        total += (high * lattice.step + lattice.overlap) * (wide * lattice.step + lattice.overlap)
    reader = run.reader()
    return total * len(reader.bands) * reader.dtype.itemsize
