"""What a job would do and take, found out without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from geocamss.batch.mosaic_grid import Mosaic
from geocamss.errors import InputError, RunError
from geocamss.plan import WRITTEN_PIXELS
from geocamss.probe import Probe
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.catalog import SceneSource

__all__ = ["JobPlan", "plan_job"]

LEFT_OUT = ("opening scenes", "waiting for a network")
"""What no plan counts."""


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
    """How long one process on this machine takes, from the time of a few chips of the first scene,
    and to put the maps together; ``left_out`` comes on top."""

    left_out: tuple[str, ...]
    """What takes time as well and is not counted."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as for JSON."""
        return asdict(self)


def plan_job(
    sources: Sequence[SceneSource], request: Request, mosaic: Mosaic | None = None
) -> JobPlan:
    """Open all scenes, map a few chips of the first, and add up.

    Args:
        sources: the scenes.
        request: how to map them.
        mosaic: that is to be made of the maps.

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
    return JobPlan(
        scenes,
        tuple(refused),
        blocks,
        tiles,
        pixels,
        read,
        work,
        tiles * seconds + pixels / WRITTEN_PIXELS,
        _left_out(request, mosaic),
    )


def _left_out(request: Request, mosaic: Mosaic | None) -> tuple[str, ...]:
    """What the seconds of a plan do not hold."""
    polygons = ("polygons, which take the longer the more ragged a map is",)
    tiles = ("the tiles of the mosaic",)
    return (
        *LEFT_OUT,
        *(polygons if "polygons" in request.outputs else ()),
        *(tiles if mosaic is not None else ()),
    )


def _read(run: Run) -> int:
    """Bytes that the chips of a run are made of, each row and column of a block once."""
    lattice, total = run.layout.lattice, 0
    for block in run.layout.blocks():
        high, wide = len(block.rows), len(block.cols)
        total += (high * lattice.step + lattice.overlap) * (wide * lattice.step + lattice.overlap)
    reader = run.reader()
    return total * len(reader.bands) * reader.dtype.itemsize
