"""A scene's picture on a grid, at a fraction of the grid's resolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geocamss.scene.band import SceneBand
from geocamss.scene.grid import Grid, lattice_origin
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window

__all__ = ["centers", "fitted_grid", "read_reduced", "reduced_grid"]

STRIP_PIXELS = 2**20
"""Pixels that are read at once."""


def reduced_grid(grid: Grid, step: int) -> Grid:
    """A grid each of whose pixels covers ``step`` by ``step`` pixels of another.

    The last row and column may reach beyond it. A scene that is read on it is averaged, from the
    scene's own overviews where it has any.
    """
    if step == 1:
        return grid
    height, width = (-(-side // step) for side in grid.shape)
    return _scaled(grid, height, width, Affine.scale(step))


def fitted_grid(grid: Grid, height: int, width: int) -> Grid:
    """A grid over exactly the same ground, of ``height`` rows and ``width`` columns.

    Its pixels need not be squares. Else as ``reduced_grid``.
    """
    if (height, width) == grid.shape:
        return grid
    return _scaled(grid, height, width, Affine.scale(grid.width / width, grid.height / height))


def _scaled(grid: Grid, height: int, width: int, scale: Affine) -> Grid:
    transform = grid.transform * scale
    origin = lattice_origin(transform) if grid.crs is not None else (0, 0)
    return replace(
        grid, transform=transform, width=width, height=height, origin=origin, aligned=None
    )


def centers(size: int, step: int) -> NDArray[np.int64]:
    """Of ``size`` pixels along an axis, the one that stands for each ``step`` of them."""
    return np.minimum(np.arange(0, size, step) + step // 2, size - 1)


def read_reduced(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Grid, step: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a whole grid at a fraction of its resolution.

    Args:
        scene: what is read.
        bands: in the order of the result.
        grid: laid over the scene.
        step: pixels of the grid, each way, for one of the result.

    Returns:
        Values (C, h, w) as stored, and validity (h, w), where h and w are the grid's sides
        divided by ``step`` and rounded up. What lies outside the area of interest is not valid.

    Raises:
        ReadError: the scene is damaged or out of reach.
    """
    fill = (0.0,) * len(bands)
    if step > 1 and min(grid.shape) >= 4 * step:
        coarse = reduced_grid(grid, step)
        rows = max(1, STRIP_PIXELS // coarse.width)
        with SceneReader(scene, bands, coarse, fill) as reader:
            parts = [
                _inside(
                    reader, coarse, Window(row, 0, min(rows, coarse.height - row), coarse.width)
                )
                for row in range(0, coarse.height, rows)
            ]
    else:  # too thin a strip to be averaged
        columns = centers(grid.width, step)
        with SceneReader(scene, bands, grid, fill) as reader:
            whole = (
                _inside(reader, grid, Window(int(row), 0, 1, grid.width))
                for row in centers(grid.height, step)
            )
            parts = [(values[:, :, columns], valid[:, columns]) for values, valid in whole]
    return np.concatenate([v for v, _ in parts], axis=1), np.concatenate([v for _, v in parts])


def _inside(
    reader: SceneReader, grid: Grid, window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    values, valid = reader.read(window)
    return values, valid & grid.inside(window)
