"""Windows of a grid whose pixels are not the scene's: rotated, flipped, or of another size or CRS.

GDAL's warper gives values that depend a little on the window asked for, since it approximates
positions over whatever it is given; overlapping chips, blocks and areas of interest would then
disagree. Here a value is a function of the pixel's place in the global lattice alone. Validity is
kept for each band, and no invalid value has a share in a valid one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geocamss.scene.grid import PHASE, Grid
from geocamss.scene.ground import Points, transformer
from geocamss.scene.scene import Scene, SceneBand
from geocamss.scene.source import Source
from geocamss.scene.window import Window

__all__ = ["Warp", "bilinear", "box_mean", "choose_overview", "samples", "scene_steps"]

STEP = 32
"""Positions are reckoned exactly at every such pixel of the lattice, and interpolated between."""

STEP_GSD = 200.0
"""In meters: the earth curves too much between the pixels of coarser grids; they are all exact.
With pixels of this size interpolated positions are off by less than 0.005 of one."""

PART_PIXELS = 2**17
"""A window is cut into parts until each has at most this many pixels: they stay in the processor's
cache, and only those at the edge of the data take the slower way."""

SOURCE_PIXELS = 2**22
"""A window is cut further until each part needs at most about this many pixels of the scene."""

MOST_SAMPLES = 4
"""Samples a pixel, each way, that are averaged where pixels are coarser than the scene's."""

SNAP = 1e-6
"""Fraction of a pixel below which a position is on a pixel's center."""


class Warp:
    """Takes a scene's pixels to a grid; for one thread."""

    def __init__(
        self, scene: Scene, bands: tuple[SceneBand, ...], grid: Grid, dtype: np.dtype[Any]
    ) -> None:
        """Open the file.

        Args:
            scene: what is read; has a CRS, as the grid has.
            bands: in the order of the result.
            grid: laid over the scene.
            dtype: of the result.
        """
        self.scene = scene
        self.grid = grid
        self.dtype = dtype
        self._place = scene.georeference
        self._turn = (
            transformer(grid.crs, scene.crs)
            if grid.crs is not None and scene.crs is not None and grid.crs != scene.crs
            else None
        )
        factors = scene_steps(scene, grid)
        overview = None if _masked(scene, bands) else choose_overview(scene.overviews, min(factors))
        self._source = Source(scene, bands, dtype, overview)
        extent = self._source.extent
        self._reduced = scene.width / extent.width, scene.height / extent.height
        across, down = (f / r for f, r in zip(factors, self._reduced, strict=True))
        self._samples = samples(down)[0], samples(across)[0]
        self._box = samples(down)[1], samples(across)[1]
        reduced = extent.shape != (scene.height, scene.width)
        self._phase = (0, 0) if reduced else _phase(scene, self._box)
        exact = grid.gsd is None or grid.gsd > STEP_GSD
        self._step = 1 if exact else STEP

    def close(self) -> None:
        """Give the handle back."""
        self._source.close()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Values (C, h, w) and validity (C, h, w) of a window of the grid.

        Raises:
            ReadError: the file is damaged or out of reach.
        """
        if window.area > PART_PIXELS:
            return self._in_parts(window)
        cols, rows = self._cells(window)
        near = self._needed(cols, rows)
        if near.empty:
            shape = (len(self._source.bands), *window.shape)
            return np.zeros(shape, self.dtype), np.zeros(shape, bool)
        if near.area * math.prod(self._box) > SOURCE_PIXELS and window.area > 1:
            return self._in_parts(window)
        high, wide = self._box
        whole = Window(near.row * high, near.col * wide, near.height * high, near.width * wide)
        values, valid = self._source.read(whole.shifted(-self._phase[0], -self._phase[1]))
        cells, usable = box_mean(values, valid, self._box)
        found, where = bilinear(cells, usable, cols - near.col, rows - near.row)
        found, where = box_mean(found, where, self._samples)
        return _stored(found, self.dtype), where

    def _in_parts(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The same, in two halves."""
        if window.height >= window.width:
            half = window.height // 2
            one = Window(window.row, window.col, half, window.width)
            two = Window(window.row + half, window.col, window.height - half, window.width)
        else:
            half = window.width // 2
            one = Window(window.row, window.col, window.height, half)
            two = Window(window.row, window.col + half, window.height, window.width - half)
        axis = 1 if window.height >= window.width else 2
        parts = [self.read(part) for part in (one, two)]
        if all(mask is None for _, mask in parts):
            return np.concatenate([values for values, _ in parts], axis), None
        masks = [np.ones(v.shape, bool) if m is None else m for v, m in parts]
        return np.concatenate([v for v, _ in parts], axis), np.concatenate(masks, axis)

    def _needed(self, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> Window:
        """The cells of the scene that positions lie among."""
        high, wide = self._box
        extent = self._source.extent
        rows_in, cols_in = extent.height + self._phase[0], extent.width + self._phase[1]
        whole = Window(0, 0, -(-rows_in // high), -(-cols_in // wide))
        there = (
            (cols > -1) & (cols < whole.width) & (rows > -1) & (rows < whole.height)
        )  # False for NaN
        if not there.any():
            return Window(0, 0, 0, 0)
        cols, rows = cols[there], rows[there]
        return Window.between(
            math.floor(rows.min()),
            math.floor(cols.min()),
            math.floor(rows.max()) + 2,
            math.floor(cols.max()) + 2,
        )

    def _cells(self, window: Window) -> Points:
        """(column, row) positions of samples among cells, whose centers are whole numbers."""
        cols, rows = self._positions(window)
        cols = (cols / self._reduced[0] + self._phase[1]) / self._box[1] - 0.5
        rows = (rows / self._reduced[1] + self._phase[0]) / self._box[0] - 0.5
        return _snap(cols), _snap(rows)

    def _positions(self, window: Window) -> Points:
        """(column, row) positions of samples among the scene's pixels, whose centers are at halves.

        As many samples a pixel, side by side, as ``_samples`` says: h times so many rows, w times
        so many columns.
        """
        top, left = window.row + self.grid.origin[0], window.col + self.grid.origin[1]
        rows_at = _nodes(top, window.height, self._step, self._samples[0])
        cols_at = _nodes(left, window.width, self._step, self._samples[1])
        exact = self._exact(
            *np.meshgrid(cols_at.nodes - self.grid.origin[1], rows_at.nodes - self.grid.origin[0])
        )
        with np.errstate(invalid="ignore"):  # infinity stands where there is no ground
            cols, rows = (cols_at.along(rows_at.along(nodes).T).T for nodes in exact)
            torn = self._torn(exact[0])
        lost = ~(np.isfinite(cols) & np.isfinite(rows)) | torn[rows_at.before][:, cols_at.before]
        if lost.any():  # near the edge of the ground that the CRS knows, or the scene's seam
            i, j = np.nonzero(lost)
            cols[lost], rows[lost] = self._exact(
                cols_at.places[j] - self.grid.origin[1], rows_at.places[i] - self.grid.origin[0]
            )
        return cols, rows

    def _torn(self, nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Between which nodes a scene in degrees ends and begins again.

        That is on the other side of the earth from its center.

        Args:
            nodes: (h, w) columns of the scene.

        Returns:
            (h - 1, w - 1), for the four nodes around.
        """
        corners = np.stack([nodes[:-1, :-1], nodes[1:, :-1], nodes[:-1, 1:], nodes[1:, 1:]])
        half_turn = math.inf
        if self._turn is not None and self.scene.crs is not None and self.scene.crs.is_geographic:
            degrees = abs(self.scene.transform.a) if self.scene.transform is not None else 0.0
            half_turn = 180.0 / degrees if degrees else math.inf
        return np.asarray(np.ptp(corners, axis=0) > half_turn)

    def _exact(self, cols: NDArray[Any], rows: NDArray[Any]) -> Points:
        """Positions among the scene's pixels of positions among the grid's."""
        xs, ys = self.grid.coordinates(cols, rows)
        if self._turn is not None:
            xs, ys = map(np.asarray, self._turn.transform(xs, ys))
            if self.scene.crs is not None and self.scene.crs.is_geographic:
                middle = self._middle[0]
                xs = middle + (xs - middle + 180.0) % 360.0 - 180.0
        return self._place.to_pixels(xs, ys)

    @property
    def _middle(self) -> tuple[float, float]:
        """Coordinates of the scene's center."""
        xs, ys = self._place.to_crs(self.scene.width / 2, self.scene.height / 2)
        return float(xs), float(ys)


def scene_steps(scene: Scene, grid: Grid) -> tuple[float, float]:
    """Columns and rows of the scene for a step of one grid pixel, at the scene's center.

    1 and 1 where that cannot be told.
    """
    cols = scene.width / 2 + np.array([-0.5, 0.5, 0.0, 0.0])
    rows = scene.height / 2 + np.array([0.0, 0.0, -0.5, 0.5])
    xs, ys = scene.georeference.to_crs(cols, rows)
    if grid.crs is not None and scene.crs is not None and grid.crs != scene.crs:
        xs, ys = map(np.asarray, transformer(scene.crs, grid.crs).transform(xs, ys))
    across, down = xs / grid.transform.a, ys / grid.transform.e
    turn = np.array(
        [[across[1] - across[0], across[3] - across[2]], [down[1] - down[0], down[3] - down[2]]]
    )
    if not np.isfinite(turn).all() or abs(np.linalg.det(turn)) < 1e-12:
        return 1.0, 1.0
    back = np.linalg.inv(turn)
    # Rounded, so that noise does not choose between two box sizes.
    return round(float(np.hypot(*back[0])), 6), round(float(np.hypot(*back[1])), 6)


def _masked(scene: Scene, bands: tuple[SceneBand, ...]) -> bool:
    """True where a mask beside the pixels tells which are valid.

    Reduced copies may lack such a mask, or have one that is empty, or have been made without it, so
    that shares of invalid pixels are in their values; and none of this can be told from outside.
    """
    return scene.alpha is None and any(band.mask in ("dataset", "band") for band in bands)


def _phase(scene: Scene, box: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the first cell that lie before the scene's first pixel.

    Cells are counted from the coordinate system's origin, as global pixels are: so all files that
    are cut from one picture have the same. Where control points tie pixels to the ground, they
    begin with the scene.

    Args:
        scene: what is read.
        box: rows and columns of a cell.
    """
    place = scene.transform
    if place is None:
        return 0, 0
    linear = Affine(place.a, place.b, 0.0, place.d, place.e, 0.0)
    col, row = (math.floor(at + PHASE) for at in ~linear @ (place.c, place.f))
    return row % box[0], col % box[1]


def choose_overview(factors: tuple[int, ...], wanted: float) -> int | None:
    """Position of the most reduced copy that serves; None for the original.

    It has twice the wanted detail: many files were reduced by leaving pixels out, and averaging
    the rest makes up for that.

    Args:
        factors: by how much the copies are reduced, ascending.
        wanted: pixels of the original for a pixel of the result.
    """
    fitting = [index for index, factor in enumerate(factors) if 1 < factor <= wanted / 2]
    return fitting[-1] if fitting else None


def samples(factor: float) -> tuple[int, int]:
    """How many samples a pixel, in one direction, stand for so many pixels of the scene.

    Returns:
        The number of samples, and how many pixels of the scene make a cell. Their product is
        about the factor; samples come closer to a mean over a pixel, cells cost less.
    """
    whole = max(1, round(factor))
    count = min(MOST_SAMPLES, whole)
    return count, round(whole / count)


def box_mean(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, box: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Means of the valid values in boxes of (rows, columns) pixels.

    Args:
        values: (C, h, w); h and w are multiples of the box's sides.
        valid: (C, h, w), True = usable; None if all are.
        box: rows and columns.

    Returns:
        Means as floating point, and which boxes are at least half valid.
    """
    high, wide = box
    values = values.astype(_working(values.dtype), copy=False)
    if box == (1, 1):
        return values, valid
    if valid is None:
        return _box_sum(values, box) / values.dtype.type(high * wide), None
    total = _box_sum(np.where(valid, values, 0), box)
    count = _box_sum(valid.astype(np.int32), box)
    return total / np.maximum(count, 1).astype(values.dtype), 2 * count >= high * wide


def _box_sum(values: NDArray[Any], box: tuple[int, int]) -> NDArray[Any]:
    """Sums in boxes; strided additions are several times faster than one sum over two axes."""
    rows = sum(values[:, i :: box[0]] for i in range(1, box[0])) + values[:, :: box[0]]
    return np.asarray(
        sum(rows[:, :, j :: box[1]] for j in range(1, box[1])) + rows[:, :, :: box[1]]
    )


def bilinear(
    cells: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Values at positions between the centers of cells, from the valid ones of the four around.

    Args:
        cells: (C, H, W) floating point.
        valid: (C, H, W), True = usable; None if all are.
        cols: (h, w) column positions; centers of cells are at 0 to W - 1.
        rows: (h, w) row positions; centers of cells are at 0 to H - 1.

    Returns:
        (C, h, w) values, and which of them are valid: those whose nearest cell is, unless they
        lie beyond the outer centers; None if all are.
    """
    height, width = cells.shape[1:]
    there = (cols >= 0) & (cols < width - 1) & (rows >= 0) & (rows < height - 1)  # False for NaN
    cols, rows = np.where(there, cols, 0.0), np.where(there, rows, 0.0)
    col, row = np.floor(cols).astype(np.intp), np.floor(rows).astype(np.intp)
    corner = row * width + col
    right, down = (cols - col).astype(cells.dtype), (rows - row).astype(cells.dtype)

    def mix(plane: NDArray[Any]) -> NDArray[Any]:
        flat = plane.ravel()
        upper, lower = flat[:-width], flat[width:]
        top, bottom = upper.take(corner, mode="clip"), lower.take(corner, mode="clip")
        top += right * (upper[1:].take(corner, mode="clip") - top)
        bottom += right * (lower[1:].take(corner, mode="clip") - bottom)
        return np.asarray(top + down * (bottom - top))

    if valid is None:
        where = None if there.all() else np.repeat(there[None], len(cells), 0)
        return np.stack([mix(plane) for plane in cells]), where
    nearest = corner + (rows - row >= 0.5) * width + (cols - col >= 0.5)
    values = np.empty((len(cells), *cols.shape), cells.dtype)
    where = np.empty(values.shape, bool)
    for index, (plane, usable) in enumerate(zip(cells, valid, strict=True)):
        total = mix(np.where(usable, plane, 0))
        share = mix(usable.astype(cells.dtype))
        values[index] = total / np.where(share > 0, share, 1)
        where[index] = there & usable.ravel().take(nearest, mode="clip")
    return values, where


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Floating point that holds all values of a type, as far as any does."""
    return np.result_type(dtype, np.float32)


def _stored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Back in the scene's type, rounded."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    highest = np.nextafter(values.dtype.type(limits.max) + 1, 0, dtype=values.dtype)
    stored: NDArray[Any] = np.clip(np.rint(values), limits.min, highest).astype(dtype)
    return stored


def _snap(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions that differ from a whole number by noise become whole."""
    whole = np.rint(positions)
    return np.where(np.abs(positions - whole) < SNAP, whole, positions)


@dataclass(frozen=True)
class _Interpolation:
    """Positions along one axis of the lattice, and the nodes that they lie between."""

    nodes: NDArray[np.int64]
    """Pixel borders at multiples of the step, in global pixels."""

    places: NDArray[np.float64]
    """The positions, in global pixels."""

    before: NDArray[np.intp]
    """Which node precedes each position."""

    part: NDArray[np.float64]
    """How far each position is from there to the next node, 0 to 1."""

    def along(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at the positions, by linear interpolation along the first axis."""
        part = self.part[:, None]
        return (1 - part) * values[self.before] + part * values[self.before + 1]


def _nodes(start: int, count: int, step: int, each: int) -> _Interpolation:
    """Nodes around pixels [start, start + count), each of which has ``each`` positions."""
    first = start // step
    nodes = np.arange(first, (start + max(count, 1) - 1) // step + 2) * step
    offsets = (np.arange(each) + 0.5) / each
    pixels = np.arange(start, start + count)
    places = (pixels[:, None] + offsets).ravel()
    before = np.repeat(pixels // step - first, each)
    part = ((pixels % step)[:, None] + offsets).ravel() / step
    return _Interpolation(nodes, places, before, part)
