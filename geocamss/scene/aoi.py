"""The area of interest: read from any vector file, and burnt into windows of a grid."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError as RasterCRSError
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from geocamss.errors import GeocamssWarning, GridError
from geocamss.scene.ground import transformer
from geocamss.scene.window import Window

__all__ = ["PolygonMask", "brought", "polygons", "read_aoi"]

Bounds = tuple[float, float, float, float]
Shapes = NDArray[np.object_]
"""(N,) geometries."""

_TURNS = (0.0, -360.0, 360.0)
"""Degrees."""

_EDGES = 256
"""A straight line is bent by reprojection: it is cut into about this many pieces first."""


def read_aoi(path: str | os.PathLike[str], crs: CRS, bounds: Bounds) -> BaseGeometry:
    """The polygons of a vector file, as one geometry in another coordinate system.

    Args:
        path: anything that OGR opens; the first layer that has geometries counts.
        crs: of the result.
        bounds: (left, bottom, right, top) in ``crs``; what lies far outside is left away.

    Raises:
        GridError: it cannot be read, has no polygons or no coordinate system, or lies elsewhere.
    """
    where = os.fspath(path)
    area, own = _read(where)
    try:
        (area,) = brought(np.array([area]), own, crs, bounds)
    except (CRSError, ProjError) as error:
        raise GridError(f"{where}: cannot be brought into the map's CRS: {error}") from error
    area = polygons(area)
    if area.is_empty or polygons(area & shapely.box(*bounds)).is_empty:
        raise GridError(
            f"{where}: the area of interest does not overlap the scene, which covers "
            f"{', '.join(f'{b:.8g}' for b in bounds)} in {crs.to_string()[:60]}"
        )
    return area


def _read(path: str) -> tuple[BaseGeometry, CRS]:
    import pyogrio  # pandas comes with it: too slow to import for runs without an area
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        if not layers:
            raise GridError(f"{path}: has no layer with geometries")
        with np.errstate(invalid="ignore"):  # see below
            frame = pyogrio.read_dataframe(path, layer=layers[0], columns=[], force_2d=True)
    except (DataSourceError, DataLayerError, OSError, ValueError, ShapelyError) as error:
        raise GridError(f"{path}: cannot be read as an area of interest: {error}") from error
    if len(layers) > 1:
        warnings.warn(
            f"{path}: has {len(layers)} layers; {layers[0]!r}, the first, is the area of interest",
            GeocamssWarning,
            stacklevel=4,
        )
    if frame.crs is None:
        raise GridError(f"{path}: does not say its coordinate system, so where it lies is unknown")
    shapes = frame.geometry.dropna().to_numpy()
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise GridError(f"{path}: has corners whose coordinates are no numbers")
    area = polygons(shapely.union_all(shapely.make_valid(shapes)))
    if area.is_empty:
        raise GridError(f"{path}: holds no polygons ({len(frame)} features); draw the area as one")
    try:
        return area, CRS.from_user_input(frame.crs.to_wkt())
    except RasterCRSError as error:
        raise GridError(f"{path}: its coordinate system is not known: {error}") from error


def polygons(area: BaseGeometry) -> BaseGeometry:
    """The part that has an area: repaired shapes may leave lines and points behind."""
    if area.geom_type in ("Polygon", "MultiPolygon"):
        return area
    parts = [p for p in shapely.get_parts(shapely.get_parts(area)) if p.geom_type == "Polygon"]
    return shapely.union_all(parts) if len(parts) != 1 else parts[0]


def brought(shapes: Shapes, own: CRS, crs: CRS, bounds: Bounds) -> Shapes:
    """Shapes in another coordinate system, where they are near some bounds.

    Straight lines are bent as the ground is, and degrees of another turn of the earth are found.

    Args:
        shapes: valid ones, (N,).
        own: their coordinate system.
        crs: of the result.
        bounds: (left, bottom, right, top) in ``crs``; what lies far outside is left away.

    Returns:
        (N,) valid shapes in the same order; what is left of some may be empty.

    Raises:
        CRSError, ProjError: there is no way from one system to the other.
    """
    if own != crs:
        shapes = _reproject(shapes, own, crs, bounds)
    return _turned(shapes, bounds) if crs.is_geographic else shapes


def _turned(shapes: Shapes, bounds: Bounds) -> Shapes:
    """Shapes in degrees, where they overlap bounds: a whole turn of the earth changes no place."""
    there, nothing = shapely.box(*bounds), np.array(shapely.Polygon(), dtype=object)
    copies = [shapely.transform(shapes, partial(np.add, (turn, 0.0))) for turn in _TURNS]
    near = [np.where(shapely.intersects(copy, there), copy, nothing) for copy in copies]
    found = np.asarray(shapely.union_all(near, axis=0))
    turned: Shapes = np.where(shapely.is_empty(found), shapes, found)
    return turned


def _reproject(shapes: Shapes, own: CRS, crs: CRS, bounds: Bounds) -> Shapes:
    left, bottom, right, top = transformer(crs, own).transform_bounds(*bounds)
    known = np.isfinite([left, bottom, right, top]).all()
    if own.is_geographic and known:
        right += 360.0 if left > right else 0.0  # across the antimeridian
        shapes = _turned(shapes, (left, bottom, right, top))
    if known and left < right:
        margin = 0.1 * max(right - left, top - bottom)
        near = shapely.box(left - margin, bottom - margin, right + margin, top + margin)
        shapes = shapely.intersection(shapes, near)
        shapes = shapely.segmentize(shapes, (near.length or 1.0) / _EDGES)
    turn = transformer(own, crs)

    def there(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(turn.transform(points[:, 0], points[:, 1]))

    moved = shapely.transform(shapes, there)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise ProjError("it reaches where the map's coordinate system has no place")
    mended: Shapes = shapely.make_valid(moved)
    return mended


@dataclass(frozen=True)
class PolygonMask:
    """Which pixels have their center within polygons.

    The answer for a pixel depends on that pixel alone, not on the window that it is asked in.
    """

    area: BaseGeometry
    """Polygons, in the coordinates that ``transform`` gives."""

    transform: Affine
    """From (column, row) of the grid to coordinates."""

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """(edges, 4): column and row of both ends, the upper end first; centers are whole."""
        rings = [
            np.asarray(ring.coords)
            for polygon in shapely.get_parts(self.area)
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        inverse: Any = ~self.transform
        edges = [np.empty((0, 4))]  # an empty area has none
        for ring in rings:
            cols = inverse.a * ring[:, 0] + inverse.b * ring[:, 1] + inverse.c - 0.5
            rows = inverse.d * ring[:, 0] + inverse.e * ring[:, 1] + inverse.f - 0.5
            ends = np.column_stack([cols[:-1], rows[:-1], cols[1:], rows[1:]])
            down = ends[:, 1] <= ends[:, 3]
            edges.append(np.where(down[:, None], ends, ends[:, [2, 3, 0, 1]]))
        return np.concatenate(edges)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """(height, width), True = center inside.

        Each row is crossed by the edges at some columns, and every crossing turns outside into
        inside, or back, for all pixels to its right.
        """
        turns = np.zeros((window.height, window.width + 1), np.int32)
        if window.empty:
            return turns[:, :-1].astype(bool)
        edges = self._edges
        near = (edges[:, 1] < window.stop_row) & (edges[:, 3] >= window.row)
        near &= np.minimum(edges[:, 0], edges[:, 2]) < window.stop_col
        col0, row0, col1, row1 = edges[near].T
        first = np.maximum(np.ceil(row0), window.row).astype(np.int64)
        count = np.minimum(np.ceil(row1), window.stop_row).astype(np.int64) - first
        count = np.maximum(count, 0)
        edge = np.repeat(np.arange(len(count)), count)
        rows = first[edge] + np.arange(len(edge)) - (np.cumsum(count) - count)[edge]
        slope = (col1 - col0) / np.where(row1 > row0, row1 - row0, 1.0)
        crossings = col0[edge] + (rows - row0[edge]) * slope[edge]
        cols = np.clip(np.ceil(crossings).astype(np.int64) - window.col, 0, window.width)
        np.add.at(turns, (rows - window.row, cols), 1)
        inside: NDArray[np.bool_] = np.cumsum(turns[:, :-1], axis=1) % 2 == 1
        return inside
