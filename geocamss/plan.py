"""A plan: what a run would do and take, found out without running it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geocamss.probe import Probe
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.reduced import read_reduced
from geocamss.scene.tiles import Tile
from geocamss.scene.window import Window

__all__ = ["Plan", "plan"]

WRITTEN_PIXELS = 8e6
"""Pixels of the map that are put together and written in a second, about."""


@dataclass(frozen=True)
class Plan:
    """What a run would do and take."""

    width: int
    """Of the map, in pixels."""

    height: int
    """Likewise."""

    blocks: tuple[int, int]
    """Rows and columns of blocks."""

    block: tuple[int, int]
    """Height and width of a block, in pixels, about."""

    chip: int
    """Side of what the network sees at once, in pixels."""

    overlap: int
    """Pixels that neighboring chips share."""

    batch: int
    """Chips at once."""

    tiles: int
    """All tiles of the grid."""

    skipped: int
    """Those that hold nothing to map, as far as is known beforehand."""

    exact: bool
    """False where the scene may have gaps that only reading it would show: more may be skipped."""

    device: str
    """Where the network runs."""

    memory: int
    """Peak of the machine's memory, in bytes."""

    device_memory: int | None
    """Peak of the GPU's memory, in bytes; None without one."""

    parts: Mapping[str, int]
    """What memory goes into, the machine's and the GPU's, in bytes."""

    disk: int
    """Bytes in the output folder while the run works. The finished rasters and the polygons come on
    top; how much they take nobody knows before the map is there."""

    seconds: float
    """How long the run takes, from the time of a few chips."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as for JSON."""
        return asdict(self)


def plan(scene: str | os.PathLike[str], **asked: Any) -> Plan:
    """Tell what ``predict`` would do and take, and write nothing.

    A few chips are mapped to see how long one takes, and in how much memory.

    Args:
        scene: anything that GDAL opens.
        asked: whatever ``predict`` takes to say what is to be mapped and how: ``model``, ``gsd``,
            ``aoi``, ``memory``, ``outputs`` and so on.

    Raises:
        InputError: something given cannot be used, or the run does not fit into ``memory``.
    """
    return plan_run(Request(**asked).run(scene))


def plan_run(run: Run) -> Plan:
    """The plan of a run.

    Raises:
        ReadError: the scene cannot be read.
    """
    probe = Probe.of(run)
    memory = run.peak_memory(probe.process, probe.network)
    layout, card = run.layout, run.segmenter.card
    tiles = len(layout.tile_rows) * len(layout.tile_cols)
    busy, exact = _busy_tiles(run)
    on_gpu = run.segmenter.device.type == "cuda"
    sides = zip(layout.block_tiles, layout.shape, strict=True)
    high, wide = (min(count * layout.lattice.step, side) for count, side in sides)
    return Plan(
        width=run.grid.width,
        height=run.grid.height,
        blocks=layout.block_shape,
        block=(high, wide),
        chip=card.chip,
        overlap=card.overlap,
        batch=run.batch,
        tiles=tiles,
        skipped=tiles - busy,
        exact=exact,
        device=str(run.segmenter.device),
        memory=memory.beside_gpu if on_gpu else memory.ram,
        device_memory=memory.on_device if on_gpu else None,
        parts=asdict(memory),
        disk=run.work,
        seconds=busy * probe.seconds + run.grid.width * run.grid.height / WRITTEN_PIXELS,
    )


def _busy_tiles(run: Run) -> tuple[int, bool]:
    """How many tiles hold something to map, at most, and whether it is known exactly.

    Gaps of the scene are looked for in its overviews, if it has any: reading all of it would take
    as long as a good part of the run.
    """
    layout, scene = run.layout, run.scene
    whole = Window(0, 0, *layout.shape)
    tiles = [
        layout.chip_window(Tile(row, col)) & whole
        for row in layout.tile_rows
        for col in layout.tile_cols
    ]
    solid = all(band.mask == "none" and np.dtype(band.dtype).kind in "iu" for band in run.bands)
    if not solid and scene.overviews:
        step = scene.overviews[-1]
        with gdal_environment(scene.path):
            valid = read_reduced(scene, run.bands, run.grid, step)[1]
        return sum(bool(valid[_reduced(tile, step)].any()) for tile in tiles), False
    if run.grid.aoi is None:
        return len(tiles), solid
    return sum(bool(run.grid.inside(tile).any()) for tile in tiles), solid


def _reduced(window: Window, step: int) -> tuple[slice, slice]:
    """The pixels of a reduced copy that a window touches, and one more on each side."""
    return (
        slice(max(0, window.row // step - 1), -(-window.stop_row // step) + 1),
        slice(max(0, window.col // step - 1), -(-window.stop_col // step) + 1),
    )
