"""Footprint: where on Earth a grid lies, as GeoJSON in longitude and latitude."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

__all__ = ["Footprint"]

Floats = NDArray[np.float64]

_PER_EDGE = 32
"""Points an edge: a straight edge of the grid is curved in longitude and latitude."""

_DIGITS = 7
"""Decimals of a degree: a centimeter."""


@dataclass(frozen=True)
class Footprint:
    """The outline of a grid on WGS 84."""

    geometry: dict[str, Any]
    """GeoJSON polygon, or multipolygon where the antimeridian cuts it."""

    bbox: tuple[float, float, float, float]
    """West, south, east, north; west is greater than east across the antimeridian."""

    @classmethod
    def of(
        cls,
        crs: CRS | None,
        transform: Affine,
        window: tuple[int, int, int, int],
    ) -> Footprint | None:
        """Outline a window of a grid.

        Args:
            crs: of the grid.
            transform: of the grid.
            window: first row, first column, row after the last, column after the last.

        Returns:
            None where the grid has no place on Earth.
        """
        to_earth = _transformer(crs)
        if to_earth is None or window[2] <= window[0] or window[3] <= window[1]:
            return None
        ring = _on_earth(to_earth, transform, *_edges(window))
        if not np.isfinite(ring).all():
            return cls._of_points(_on_earth(to_earth, transform, *_inside(window)))
        ring[0] = np.unwrap(ring[0], period=360)
        turns = round((ring[0, -1] - ring[0, 0]) / 360)
        if turns:
            center = _on_earth(to_earth, transform, *_middle(window))
            pole = math.copysign(90.0, center[1, 0])
            ends = np.array([[ring[0, -1], ring[0, 0]], [pole, pole]])
            ring = np.concatenate((ring, ends), axis=1)
        return cls._of_ring(ring, around_pole=turns != 0)

    @classmethod
    def _of_points(cls, points: Floats) -> Footprint | None:
        """For grids that reach beyond the edge of their projection: around what is on Earth."""
        points = points[:, np.isfinite(points).all(axis=0)]
        if points.size:
            middle = points[0, points.shape[1] // 2]
            points[0] = middle + (points[0] - middle + 180) % 360 - 180
        hull = shapely.convex_hull(shapely.multipoints(points.T))
        if not isinstance(hull, shapely.Polygon):
            return None
        return cls._of_ring(shapely.get_coordinates(hull).T)

    @classmethod
    def _of_ring(cls, ring: Floats, *, around_pole: bool = False) -> Footprint:
        """Cut an outline with continuous longitudes at the antimeridian."""
        shape: Any = shapely.make_valid(shapely.polygons(ring.T))
        west, south, east, north = (float(v) for v in shapely.bounds(shape))
        if around_pole or east - west >= 360:
            if not around_pole:  # more than once around: no outline says that better
                shape = shapely.box(-180, south, 180, north)
            parts, west, east = _cut(shape), -180.0, 180.0
        else:
            parts = _cut(shape)
            west, east = _wrapped(west, after=False), _wrapped(east, after=True)
        whole = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
        box = [round(v, _DIGITS) for v in (west, max(south, -90.0), east, min(north, 90.0))]
        return cls(_geojson(whole), (box[0], box[1], box[2], box[3]))


def _cut(shape: Any) -> list[shapely.Polygon]:
    """Parts of a shape between -180 and 180 degrees, each turned there."""
    west, _, east, _ = shapely.bounds(shape)
    parts = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360)):
        strip = shapely.box(turn * 360 - 180, -90, turn * 360 + 180, 90)
        piece = shapely.get_parts(shapely.intersection(shape, strip))
        flat = piece[shapely.get_type_id(piece) == shapely.GeometryType.POLYGON]
        moved = shapely.transform(flat, partial(np.add, np.array([-360.0 * turn, 0.0])))
        parts += list(shapely.set_precision(moved, 10.0**-_DIGITS))
    whole = shapely.get_parts(shapely.union_all(parts))
    return [part for part in shapely.orient_polygons(whole) if isinstance(part, shapely.Polygon)]


def _transformer(crs: CRS | None) -> pyproj.Transformer | None:
    if crs is None:
        return None
    try:
        return pyproj.Transformer.from_crs(crs.to_wkt(), "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:
        return None


def _edges(window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """Rows and columns of points around a window, counterclockwise on the screen, closed."""
    top, left, bottom, right = window
    along = np.linspace(0, 1, _PER_EDGE, endpoint=False)
    down, over = top + along * (bottom - top), left + along * (right - left)
    up, back = bottom - along * (bottom - top), right - along * (right - left)
    same = np.ones(_PER_EDGE)
    rows = np.concatenate((down, same * bottom, up, same * top, [top]))
    columns = np.concatenate((same * left, over, same * right, back, [left]))
    return rows, columns


def _inside(window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    top, left, bottom, right = window
    rows, columns = np.meshgrid(np.linspace(top, bottom, 129), np.linspace(left, right, 129))
    return rows.ravel(), columns.ravel()


def _middle(window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    top, left, bottom, right = window
    return np.array([(top + bottom) / 2]), np.array([(left + right) / 2])


def _on_earth(
    to_earth: pyproj.Transformer, transform: Affine, rows: Floats, columns: Floats
) -> Floats:
    """Longitudes and latitudes, (2, n); not finite beyond the edge of the projection."""
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    longitude, latitude = to_earth.transform(x, y)
    off = ~np.isfinite(latitude)
    return np.stack((longitude, np.where(off, latitude, np.clip(latitude, -90, 90))))


def _wrapped(longitude: float, *, after: bool) -> float:
    """A longitude within 180 degrees; 180 itself is the end of a box, -180 a beginning."""
    wrapped = (longitude + 180) % 360 - 180
    return wrapped + 360 if after and wrapped == -180 else wrapped


def _geojson(shape: shapely.Geometry) -> dict[str, Any]:
    def rings(polygon: shapely.Polygon) -> list[list[list[float]]]:
        return [
            [[round(float(v), _DIGITS) for v in point] for point in shapely.get_coordinates(ring)]
            for ring in (polygon.exterior, *polygon.interiors)
        ]

    if isinstance(shape, shapely.Polygon):
        return {"type": "Polygon", "coordinates": rings(shape)}
    parts = [rings(part) for part in shapely.get_parts(shape)]
    return {"type": "MultiPolygon", "coordinates": parts}
