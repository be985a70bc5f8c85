"""Areas on the ground: of a map's pixels, and of its classes.

The area of a polygon is the sum over its pixels, so that classes and polygons add up. A pixel's
area is that of the ellipsoid's surface under it, whatever the CRS:

- Geographic CRS: exact, between two meridians and two parallels.
- Any other CRS that can be transformed to longitude and latitude: the pixel's edges are carried
  over to the sphere of equal area, on a lattice of points with linear interpolation in between.
  Thus a Web Mercator pixel at 60 degrees north counts a quarter of its nominal area.
- A CRS without a place on Earth (a local one), or without a way there that PROJ knows: width times
  height, in meters.
- No CRS: a pixel is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.transform import Affine

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import SceneError
from geocamss.output.classmap import ClassMap
from geocamss.output.runs import Runs, find_runs

__all__ = ["ClassArea", "PixelAreas", "are_counts", "check_named", "class_areas"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SPACING_M = 10_000.0
"""Between points of the lattice, at most, on the ground."""

_MAX_POINTS = 1024
"""Points of the lattice along an axis; only maps of continents reach it."""

_REACH_M = 500.0
"""How far the slopes at a point are taken: short for the Earth, long for PROJ's rounding."""


@dataclass(frozen=True)
class ClassArea:
    """How much of a map a class covers."""

    value: int
    """The class value."""

    name: str
    """The class name."""

    pixels: int
    """Number of its pixels."""

    area_m2: float
    """Their area on the ground; without a CRS, their number."""

    share: float
    """Of the area that has data, 0 to 1; 0 where the map has none at all."""

    mean_confidence: float | None
    """In percent; None where nothing is known of it."""


class PixelAreas:
    """Ground areas of a grid's pixels, as whole numbers of a small unit.

    Whole numbers add up to the same sum in any order, so areas do not depend on how a map is cut.
    """

    def __init__(self, crs: CRS | None, transform: Affine, width: int, height: int) -> None:
        """Prepare the grid's lattice."""
        self._transform = transform
        self._surface = _surface(crs, transform, width, height)
        total = self._surface.largest() * width * height
        # All pixels together stay below 2**62, and a pixel of a billion still has 30 bits.
        self.unit = 2.0 ** (math.ceil(math.log2(total)) - 61) if total > 0 else 1.0
        """Square meters in one unit."""

    def of_runs(self, runs: Runs) -> Ints:
        """Areas of runs of pixels, (n,), in units."""
        return np.rint(self._surface.of_runs(runs) / self.unit).astype(np.int64)


class _Plane:
    """All pixels are equal."""

    def __init__(self, pixel: float) -> None:
        self._pixel = pixel

    def largest(self) -> float:
        return self._pixel

    def of_runs(self, runs: Runs) -> Floats:
        return np.asarray((runs.stop - runs.start) * self._pixel, dtype=np.float64)


class _Parallels:
    """Pixels between meridians and parallels: equal within a row."""

    def __init__(self, crs: pyproj.CRS, transform: Affine, height: int) -> None:
        ellipsoid = _ellipsoid(crs)
        degree = _radians(crs)
        edges = (transform.f + np.arange(height + 1) * transform.e) * degree
        zones = ellipsoid.zone(np.clip(edges, -math.pi / 2, math.pi / 2))
        self._rows = np.abs(np.diff(zones)) * abs(transform.a) * degree

    def largest(self) -> float:
        return float(self._rows.max())

    def of_runs(self, runs: Runs) -> Floats:
        return np.asarray((runs.stop - runs.start) * self._rows[runs.row], dtype=np.float64)


class _Curved:
    """Pixels whose area changes slowly over the grid: known at points, linear in between."""

    def __init__(self, crs: pyproj.CRS, transform: Affine, width: int, height: int) -> None:
        self._rows, self._columns = (
            _points(size, math.hypot(*step), crs)
            for size, step in (
                (height, (transform.b, transform.e)),
                (width, (transform.a, transform.d)),
            )
        )
        self._values = self._sample(crs, transform)

    def largest(self) -> float:
        return float(self._values.max())

    def of_runs(self, runs: Runs) -> Floats:
        """Simpson's rule along each run: exact for cubics."""
        length = runs.stop - runs.start
        line = runs.row + 0.5
        areas = self._at(line, (runs.start + runs.stop) / 2)
        long = np.flatnonzero(length > self._step(self._columns) / 16)
        first = self._at(line[long], runs.start[long])
        last = self._at(line[long], runs.stop[long])
        areas[long] = (first + 4 * areas[long] + last) / 6
        return np.asarray(areas * length, dtype=np.float64)

    @staticmethod
    def _step(points: Floats) -> float:
        return float(points[1] - points[0])

    def _at(self, row: NDArray[Any], column: NDArray[Any]) -> Floats:
        """Area of a pixel with its center at (row, column), by bilinear interpolation."""
        r, down = _locate(row, self._rows)
        c, right = _locate(column, self._columns)
        upper = self._values[r, c] * (1 - right) + self._values[r, c + 1] * right
        lower = self._values[r + 1, c] * (1 - right) + self._values[r + 1, c + 1] * right
        return np.asarray(upper * (1 - down) + lower * down)

    def _sample(self, crs: pyproj.CRS, transform: Affine) -> Floats:
        """Areas of pixels at the points: the cross product of the slopes along rows and columns."""
        ellipsoid = _ellipsoid(crs)
        to_geographic = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        degree = _radians(pyproj.CRS(crs.geodetic_crs))
        rows, columns = np.meshgrid(self._rows, self._columns, indexing="ij")
        meters = _meters(crs)
        reach = [
            _REACH_M / (math.hypot(*step) * meters)
            for step in ((transform.a, transform.d), (transform.b, transform.e))
        ]

        def place(right: float, down: float) -> Floats:
            column, row = columns + right, rows + down
            x = transform.a * column + transform.b * row + transform.c
            y = transform.d * column + transform.e * row + transform.f
            longitude, latitude = to_geographic.transform(x, y)
            return ellipsoid.on_sphere(longitude * degree, latitude * degree)

        here = place(0.0, 0.0)
        across = np.cross(
            _slope(place(-reach[0], 0.0), here, place(reach[0], 0.0), reach[0]),
            _slope(place(0.0, -reach[1]), here, place(0.0, reach[1]), reach[1]),
            axis=0,
        )
        area = np.linalg.norm(across, axis=0)
        return np.where(np.isfinite(area), area, 0.0)


@dataclass(frozen=True)
class _Ellipsoid:
    """An ellipsoid of revolution, in meters."""

    a: float
    e: float

    def zone(self, latitude: Floats) -> Floats:
        """Area from the equator to a latitude, for a radian of longitude."""
        sine = np.sin(latitude)
        b2 = self.a**2 * (1 - self.e**2)
        if self.e == 0:
            return np.asarray(b2 * sine)
        es = self.e * sine
        return np.asarray(b2 / 2 * (sine / (1 - es**2) + np.arctanh(es) / self.e))

    def on_sphere(self, longitude: Floats, latitude: Floats) -> Floats:
        """Points (3, ...) on the sphere onto which the surface is laid with equal areas."""
        pole = float(self.zone(np.array(math.pi / 2)))
        latitude = np.where(np.isfinite(latitude), latitude, np.nan)
        longitude = np.where(np.isfinite(longitude), longitude, np.nan)
        z = np.clip(self.zone(latitude) / pole, -1, 1)
        across = np.sqrt(1 - z**2)
        return math.sqrt(pole) * np.stack(
            (across * np.cos(longitude), across * np.sin(longitude), z)
        )


def _slope(before: Floats, here: Floats, after: Floats, step: float) -> Floats:
    """Change per pixel, to both sides, or at the edge of a projection to the one that exists."""
    first = np.where(np.isfinite(before), before, here)
    last = np.where(np.isfinite(after), after, here)
    steps = np.isfinite(before).astype(float) + np.isfinite(after)
    return np.asarray((last - first) / (step * np.maximum(steps, 1)))


def _surface(
    crs: CRS | None, transform: Affine, width: int, height: int
) -> _Plane | _Parallels | _Curved:
    if crs is None:
        return _Plane(1.0)
    known = _flat(pyproj.CRS.from_user_input(crs))
    upright = transform.b == 0 and transform.d == 0
    if known.is_geographic and not known.is_derived and upright:
        return _Parallels(known, transform, height)
    if known.geodetic_crs is not None and (known.is_projected or known.is_geographic):
        try:
            return _Curved(known, transform, width, height)
        except ProjError:
            pass  # it cannot be undone
    return _Plane(abs(transform.determinant) * _meters(known) ** 2)


def _flat(crs: pyproj.CRS) -> pyproj.CRS:
    """The horizontal part of a CRS."""
    if crs.is_bound and crs.source_crs is not None:
        crs = crs.source_crs
    return crs.to_2d()


def _ellipsoid(crs: pyproj.CRS) -> _Ellipsoid:
    found = crs.ellipsoid
    if found is None:
        return _Ellipsoid(6_378_137.0, 0.081819190842621)
    a, b = found.semi_major_metre, found.semi_minor_metre
    return _Ellipsoid(a, math.sqrt(max(0.0, 1 - (b / a) ** 2)))


def _radians(crs: pyproj.CRS) -> float:
    """Radians in the unit of a geographic CRS."""
    return float(crs.axis_info[0].unit_conversion_factor)


def _meters(crs: pyproj.CRS) -> float:
    """Meters in the unit of a CRS, about, if that is an angle."""
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor * 6_371_000.0 if crs.is_geographic else factor


def _points(size: int, step: float, crs: pyproj.CRS) -> Floats:
    """Lines of the lattice over ``size`` pixels of ``step`` CRS units.

    They begin and end at pixel centers: an edge may be a pole, drawn out to a line.
    """
    count = math.ceil(size * step * _meters(crs) / _SPACING_M)
    inset = 0.5 if size > 1 else 0.0
    return np.linspace(inset, size - inset, min(max(count, 4), _MAX_POINTS) + 1)


def _locate(position: NDArray[Any], points: Floats) -> tuple[Ints, Floats]:
    """The cell of evenly spaced points that a position lies in, or next to, and how far."""
    scaled = (position - points[0]) * ((len(points) - 1) / (points[-1] - points[0]))
    cell = np.clip(scaled.astype(np.int64), 0, len(points) - 2)
    return cell, scaled - cell


def are_counts(areas: Iterable[tuple[float, int]]) -> bool:
    """Whether areas are counts of pixels: without a CRS nothing is known of the ground.

    Args:
        areas: of each class, and its pixels.
    """
    return all(area == pixels for area, pixels in areas)


def class_areas(
    classes: Path, confidence: Path | None, scheme: ClassScheme
) -> tuple[ClassArea, ...]:
    """Add up a class map, in the order of the scheme; classes without pixels are listed as well.

    Raises:
        SceneError: the map cannot be opened, or holds a value that the scheme does not name.
        ReadError: pixels cannot be read.
    """
    source = ClassMap.open(classes, confidence)
    ground = PixelAreas(source.crs, source.transform, source.width, source.height)
    pixels, area, known, percent = np.zeros((4, 256), dtype=np.int64)
    for band in source.bands():
        runs = find_runs(band.classes, band.row)
        np.add.at(pixels, runs.values, runs.stop - runs.start)
        np.add.at(area, runs.values, ground.of_runs(runs))
        if band.confidence is not None:
            has = (band.confidence != NODATA).view(np.uint8)
            np.add.at(known, runs.values, runs.sums(has))
            np.add.at(percent, runs.values, runs.sums(band.confidence * has))
    check_named(np.flatnonzero(pixels), scheme, classes)
    total = int(area[:NODATA].sum())
    return tuple(
        ClassArea(
            c.value,
            c.name,
            int(pixels[c.value]),
            float(area[c.value] * ground.unit),
            float(area[c.value] / total) if total else 0.0,
            float(percent[c.value] / known[c.value]) if known[c.value] else None,
        )
        for c in scheme
    )


def check_named(values: NDArray[np.integer], scheme: ClassScheme, path: Path) -> None:
    """See that a scheme names all values of a class map but nodata.

    Raises:
        SceneError: it does not.
    """
    strangers = np.setdiff1d(values, [*scheme.values, NODATA])
    if len(strangers):
        raise SceneError(
            f"{path}: holds the value {strangers[0]}, which the class scheme does not name; it "
            f"names {', '.join(str(value) for value in scheme.values)}"
        )
