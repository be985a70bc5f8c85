"""The pixels of a map that are nearest to those of a mosaic's tile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from geocamss.batch.mosaic_grid import TileLattice
from geocamss.classes import NODATA
from geocamss.output.raster import quiet_gdal
from geocamss.scene.ground import transformer

__all__ = ["nearest", "on_earth"]

STEP = 32
"""Positions are exact at every such pixel of a tile, and interpolated between."""

STEP_METERS = 200.0
"""Between larger pixels the Earth curves too much: they are all exact."""

UNEVEN = 8.0
"""Neighboring positions that are so many times farther apart than most have no ground between."""

ALL = slice(None)
"""All rows of a tile."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Positions:
    """Where pixels of a tile lie among those of a raster."""

    cols: Floats
    """(height, width) of the tile's part; not finite where there is no ground."""

    rows: Floats
    """Likewise."""

    shape: tuple[int, int]
    """Height and width of the raster."""

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which lie on the raster."""
        high, wide = self.shape
        across = (self.cols >= 0) & (self.cols < wide)
        return np.asarray(across & (self.rows >= 0) & (self.rows < high))


def on_earth(lattice: TileLattice, row: int, col: int, part: slice = ALL) -> NDArray[np.bool_]:
    """Which pixels of some rows of a tile its CRS has once, (height, width)."""
    xs, ys = _centers(lattice, row, col)
    edge = lattice.on_earth(*_outline(xs, ys))
    ys = ys[part]
    if edge.all():  # of a convex part of the plane
        return np.ones((len(ys), len(xs)), bool)
    return lattice.on_earth(*(np.asarray(c) for c in np.meshgrid(xs, ys)))


def nearest(  # noqa: PLR0917 (a tile has a row and a column)
    folder: Path,
    rasters: Sequence[str],
    lattice: TileLattice,
    row: int,
    col: int,
    part: slice = ALL,
) -> dict[str, Bytes] | None:
    """The pixels of a map that are nearest to those of some rows of a tile.

    A class is never mixed from others. Where the mosaic's pixels are much larger than the map's,
    its overview is taken: of classes, that holds what is most frequent.

    Args:
        folder: holds the map's rasters; ``classes.tif`` is among them.
        rasters: names of those that are wanted, without their ending.
        lattice: of the mosaic.
        row: of the tile.
        col: of the tile.
        part: rows of the tile.

    Returns:
        By name (bands, height, width), 255 = no data, of the rasters that the map has; None when
        the map is elsewhere.
    """
    with _opened(folder / "classes.tif") as whole:
        found = None if whole.crs is None else _positions(lattice, row, col, whole, part)
        if found is None:
            return None
        at = _Positions(*found, whole.shape)
        if not at.inside.any():
            return None
        level = _overview(lattice, row, col, whole)
    paths = {name: folder / f"{name}.tif" for name in rasters}
    return {name: _taken(path, level, at) for name, path in paths.items() if path.exists()}


@contextlib.contextmanager
def _opened(path: Path, **options: Any) -> Iterator[Any]:
    with quiet_gdal(), rasterio.open(path, **options) as file:
        yield file


def _taken(path: Path, level: int | None, at: _Positions) -> Bytes:
    """Pixels of a raster, or of one of its overviews, at positions among those of the whole."""
    options = {} if level is None else {"overview_level": level}
    with _opened(path, **options) as file:
        high, wide = file.shape[0] / at.shape[0], file.shape[1] / at.shape[1]
        i = np.minimum((at.rows[at.inside] * high).astype(np.int64), file.shape[0] - 1)
        j = np.minimum((at.cols[at.inside] * wide).astype(np.int64), file.shape[1] - 1)
        top, left = int(i.min()), int(j.min())
        window = RasterioWindow(left, top, int(j.max()) + 1 - left, int(i.max()) + 1 - top)
        pixels = file.read(window=window)
    result = np.full((len(pixels), *at.inside.shape), NODATA, np.uint8)
    result[:, at.inside] = pixels[:, i - top, j - left]
    return result


def _overview(lattice: TileLattice, row: int, col: int, file: Any) -> int | None:
    """The coarsest overview of a raster that is no coarser than the mosaic."""
    xs, ys = _centers(lattice, row, col)
    cols, rows = _exact(*np.meshgrid(xs[:2], ys[_nodes(len(ys), STEP)]), lattice, file)
    with np.errstate(invalid="ignore"):
        steps = np.hypot(np.diff(cols), np.diff(rows))
    known = steps[np.isfinite(steps)]
    step = float(np.median(known)) if known.size else 1.0
    near = step * (1 + 1e-6)  # a whole number is one, whatever the last digits say
    fit = [index for index, factor in enumerate(file.overviews(1)) if factor <= near]
    return max(fit, default=None)


def _centers(lattice: TileLattice, row: int, col: int) -> tuple[Floats, Floats]:
    """Coordinates of the columns and rows of a tile, reckoned from the lattice's own origin."""
    cols: Floats = col * lattice.width + np.arange(lattice.width, dtype=np.float64) + 0.5
    rows: Floats = row * lattice.height + np.arange(lattice.height, dtype=np.float64) + 0.5
    return lattice.left + cols * lattice.across, lattice.top - rows * lattice.down


def _outline(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    across, down = np.ones_like(xs), np.ones_like(ys)
    return (
        np.concatenate([xs, xs, xs[0] * down, xs[-1] * down]),
        np.concatenate([ys[0] * across, ys[-1] * across, ys, ys]),
    )


def _positions(
    lattice: TileLattice, row: int, col: int, file: Any, part: slice
) -> tuple[Floats, Floats] | None:
    """Where pixels of a tile lie among those of a raster, as (column, row); None if nowhere.

    Those of some of its rows are what they would be among all.
    """
    xs, ys = _centers(lattice, row, col)
    if _meters(lattice) <= STEP_METERS:
        i, j = _nodes(len(ys), STEP), _nodes(len(xs), STEP)
        nodes = _exact(*np.meshgrid(xs[j], ys[i]), lattice, file)
        if _even(*nodes):
            if not _near(*nodes, file.shape):
                return None
            across = (_between(values, i, len(ys))[part] for values in nodes)
            cols, rows = (_between(values.T, j, len(xs)).T for values in across)
            lost = ~(np.isfinite(cols) & np.isfinite(rows))
            if lost.any():  # near the edge of what a CRS knows
                where = np.nonzero(lost)
                cols[lost], rows[lost] = _exact(xs[where[1]], ys[part][where[0]], lattice, file)
            return cols, rows
    exact = _exact(*np.meshgrid(xs, ys[part]), lattice, file)
    return exact if _near(*exact, file.shape) else None


def _meters(lattice: TileLattice) -> float:
    """Size of a pixel, about."""
    return lattice.across * (111_000.0 if lattice.crs.is_geographic else 1.0)


def _nodes(count: int, step: int) -> NDArray[np.int64]:
    """Indices of the pixels whose positions are exact, the last one among them."""
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _between(values: Floats, nodes: NDArray[np.int64], count: int) -> Floats:
    """Values at all indices along the first axis, from those at nodes."""
    if len(nodes) == count:
        return values
    places = np.arange(count)
    left = np.clip(np.searchsorted(nodes, places, "right") - 1, 0, len(nodes) - 2)
    share = ((places - nodes[left]) / (nodes[left + 1] - nodes[left]))[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(values[left] + (values[left + 1] - values[left]) * share)


def _exact(xs: Floats, ys: Floats, lattice: TileLattice, file: Any) -> tuple[Floats, Floats]:
    place = file.transform
    if file.crs != lattice.crs:
        xs, ys = map(np.asarray, transformer(lattice.crs, file.crs).transform(xs, ys))
    if file.crs.is_geographic:  # it may count beyond the antimeridian
        middle = _middle(file)
        xs = middle + (xs - middle + 180.0) % 360.0 - 180.0
    a, b, c, d, e, f = (~place)[:6]
    return a * xs + b * ys + c, d * xs + e * ys + f


def _even(cols: Floats, rows: Floats) -> bool:
    """Whether positions of nodes follow each other evenly, so that others lie between them.

    They do not where longitudes begin anew: the raster's own, or those of its CRS.
    """
    if min(cols.shape) < 4:  # too few to say what is usual
        return False
    for axis in (0, 1):
        with np.errstate(invalid="ignore"):
            steps = np.hypot(np.diff(cols, axis=axis), np.diff(rows, axis=axis))
        known = steps[np.isfinite(steps)]
        if known.size and known.max() > UNEVEN * np.median(known):
            return False
    return True


def _middle(file: Any) -> float:
    place: Affine = file.transform
    return float(place.a * file.width / 2 + place.b * file.height / 2 + place.c)


def _near(cols: Floats, rows: Floats, shape: tuple[int, int]) -> bool:
    """Whether any part of a tile can lie on a raster, from the positions of its nodes."""
    good = np.isfinite(cols) & np.isfinite(rows)
    if not good.any():
        return False
    if not good.all():
        return True
    # Nodes are at most so far apart; a raster between four of them is still met.
    reach = max(
        float(np.abs(np.diff(values, axis=axis)).max(initial=0.0))
        for values in (cols, rows)
        for axis in (0, 1)
    )
    across = (cols > -reach) & (cols < shape[1] + reach)
    return bool((across & (rows > -reach) & (rows < shape[0] + reach)).any())
