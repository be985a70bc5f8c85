"""Features: regions of a class map as polygons with their attributes, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from geocamss.classes import ClassScheme
from geocamss.output.borders import Borders, split_rings
from geocamss.output.chains import ragged, slices
from geocamss.output.classmap import ClassMap
from geocamss.output.corners import Corners
from geocamss.output.rings import Regions
from geocamss.output.shaping import Shaping
from geocamss.output.simplify import simplify_borders
from geocamss.output.spacing import Spacing
from geocamss.output.square import squared

__all__ = ["Features", "Shaper", "in_batches", "placed"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BATCH = 50_000
"""Features of a batch, at most."""

BATCH_VERTICES = 2_000_000
"""Vertices of a batch before it is simplified, unless one feature has more."""

_RING_VERTICES = 250_000
"""Vertices whose borders are simplified at once."""

_THREADS = 2
"""Simplify side by side. More would wait for Python's lock, and each takes memory."""


@dataclass(frozen=True)
class Features:
    """Polygons and their attributes."""

    geometry: NDArray[np.object_]
    """(n,) polygons, in the map's CRS; shells counterclockwise."""

    fields: dict[str, NDArray[Any]]
    """``class``, ``name``, ``confidence`` (NaN = none known), ``area_m2``, ``perimeter_m``."""

    def __len__(self) -> int:
        return len(self.geometry)


def placed(source: ClassMap) -> Affine:
    """Where polygons of a map lie.

    A raster without a place on the ground is drawn by GIS programs with its rows downward from
    zero, so polygons count rows downward as well.
    """
    if source.crs is None and source.transform.is_identity:
        return Affine.scale(1.0, -1.0)
    return source.transform


def in_batches(parts: Iterable[Regions]) -> Iterator[Regions]:
    """Regions in batches that depend on their sequence alone; at least one, maybe empty."""
    waiting: list[Regions] = []
    features = vertices = given = 0
    for regions in parts:
        first = 0
        ends = regions.rings[regions.polygons[1:]]
        while first < len(regions):
            before = int(ends[first - 1]) if first else 0
            room = np.searchsorted(ends, before + BATCH_VERTICES - vertices, side="right")
            last = min(int(room), first + BATCH - features)
            if last <= first and not features:
                last = first + 1
            if last > first:
                waiting.append(_slice(regions, first, last))
                features += last - first
                vertices += int(ends[last - 1]) - before
                first = last
            if first < len(regions):
                yield _joined(waiting)
                given += 1
                waiting, features, vertices = [], 0, 0
    if waiting or not given:
        yield _joined(waiting)


class Shaper:
    """Makes features of finished regions."""

    def __init__(
        self, source: ClassMap, scheme: ClassScheme | None, shaping: Shaping, unit: float
    ) -> None:
        """Prepare for a map.

        Args:
            source: the map.
            scheme: names the class values; None if there is none.
            shaping: what polygons are to be like.
            unit: square meters in a unit of the regions' first measure.
        """
        self._transform = placed(source)
        self._shaping = shaping
        self._unit = unit
        self._spacing = Spacing(source.crs, source.transform, source.width, source.height)
        self._extent = max(source.width, source.height)
        self.corners = Corners(source.width, source.height) if shaping.simplify > 0 else None
        """To be fed with the map's rows before what they finish is shaped."""
        self._names = np.full(256, "", dtype=object)
        for value, entry in scheme.by_value().items() if scheme else ():
            self._names[value] = entry.name
        self._numbers = np.arange(256)
        if source.values is not None:
            self._numbers[: len(source.values)] = source.values

    def __call__(self, regions: Regions) -> Features:
        """Shape regions whose measures are area, sum of known confidences, and their number."""
        area, percent, known = regions.measures
        mean = np.full(len(regions), np.nan)
        np.divide(percent, known, out=mean, where=known > 0)
        rows, columns, rings = regions.rows, regions.columns, regions.rings
        square_meters = area * self._unit
        if self.corners is not None:
            rows, columns, rings = self._simplified(rows, columns, rings, self.corners)
            square_meters *= _areas(rows, columns, rings, regions.polygons) / regions.pixels
        perimeters = self._perimeters(rows, columns, rings, regions.polygons)
        shapes = self._on_the_ground(rows, columns, rings, regions.polygons)
        chosen = np.flatnonzero(np.isin(regions.values, self._shaping.square))
        if len(chosen):
            exact = _polygons(regions.rows, regions.columns, regions.rings, regions.polygons)
            done, right_angled = self._squared(exact[chosen])
            chosen, done = chosen[right_angled], done[right_angled]
        if len(chosen):
            parts = _taken_apart(done)
            perimeters[chosen] = self._perimeters(*parts)
            shapes[chosen] = self._on_the_ground(*parts)
            pixels = shapely.area(done)
            square_meters[chosen] = area[chosen] * self._unit * (pixels / regions.pixels[chosen])
        fields = {
            "class": self._numbers[regions.values],
            "name": self._names[regions.values],
            "confidence": mean,
            "area_m2": square_meters,
            "perimeter_m": perimeters,
        }
        return Features(shapes, fields)

    def _simplified(
        self, rows: Ints, columns: Ints, rings: Ints, corners: Corners
    ) -> tuple[Ints, Ints, Ints]:
        """Rings with fewer vertices."""

        def kept(part: slice) -> NDArray[np.bool_]:
            """Which vertices of some rings stay, each ring's last one aside."""
            vertices = slice(rings[part.start], rings[part.stop])
            offsets = rings[part.start : part.stop + 1] - rings[part.start]
            borders = split_rings(rows[vertices], columns[vertices], offsets, corners)
            scales = self._scales(borders)
            stays = simplify_borders(borders, self._shaping.simplify, scales, corners)
            return np.asarray(stays[borders.places])

        with ThreadPoolExecutor(_THREADS) as threads:
            parts = list(threads.map(kept, slices(np.diff(rings), _RING_VERTICES)))
        lengths = np.diff(rings) - 1
        keep = np.concatenate([np.zeros(0, dtype=bool), *parts])
        vertices = ragged(rings[:-1], lengths)[keep]
        ends = np.concatenate(([0], np.cumsum(keep)))[np.concatenate(([0], np.cumsum(lengths)))]
        counts = np.diff(ends)
        offsets = np.concatenate(([0], np.cumsum(counts + 1)))
        step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts + 1)
        around = np.where(step == np.repeat(counts, counts + 1), 0, step)
        index = vertices[np.repeat(ends[:-1], counts + 1) + around]
        return rows[index], columns[index], offsets

    def _scales(self, borders: Borders) -> tuple[Floats, Floats]:
        """Meters for a pixel downward and rightward, (m,), where each border has most of them."""
        begin = borders.offsets[:-1]
        if self._extent <= self._spacing.even:  # one place of the map is like any other
            return self._spacing.at(borders.rows[begin], borders.columns[begin])
        down, right = self._spacing.at(borders.rows, borders.columns)
        if len(borders):
            down, right = (np.maximum.reduceat(s, begin) for s in (down, right))
        return down, right

    def _perimeters(
        self, rows: Ints | Floats, columns: Ints | Floats, rings: Ints, polygons: Ints
    ) -> Floats:
        """Meters around each polygon, holes included."""
        if len(polygons) < 2:
            return np.zeros(0)
        down, right = np.abs(np.diff(rows)), np.abs(np.diff(columns))
        across = np.ones(len(rows), dtype=bool)  # not from ring to ring, nor past the last one
        across[rings[1:] - 1] = False
        begins = rings[polygons[:-1]]
        steps = np.add.reduceat(np.append(down + right, 0) * across, begins)
        near = steps <= self._spacing.even
        y, x = self._spacing.at(rows[begins], columns[begins])
        vertices = np.diff(rings[polygons])
        edges = np.hypot(
            np.append(down, 0) * np.repeat(y, vertices),
            np.append(right, 0) * np.repeat(x, vertices),
        )
        far = np.flatnonzero(np.repeat(~near, vertices)[:-1])
        if len(far):
            middle = (rows[far] + rows[far + 1]) / 2, (columns[far] + columns[far + 1]) / 2
            y, x = self._spacing.at(*middle)
            edges[far] = np.hypot(down[far] * y, right[far] * x)
        return np.asarray(np.add.reduceat(edges * across, begins), dtype=np.float64)

    def _squared(self, shapes: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[Any]]:
        """Right angles on the ground, where pixels may be longer than wide."""
        first = shapely.get_coordinates(shapely.get_point(shapely.get_exterior_ring(shapes), 0))
        y, x = self._spacing.at(-first[:, 1], first[:, 0])
        scale = np.stack((x, y), axis=1)
        done, good = squared(_scaled(shapes, scale), np.maximum(x, y))
        return _scaled(done, 1 / scale), good

    def _on_the_ground(
        self, rows: Ints | Floats, columns: Ints | Floats, rings: Ints, polygons: Ints
    ) -> NDArray[np.object_]:
        """Polygons in CRS coordinates; pixel corners are computed alike: neighbors share them."""
        t = self._transform
        x, y = t.a * columns + t.b * rows + t.c, t.d * columns + t.e * rows + t.f
        found = _from_rings(x, y, rings, polygons)
        if t.determinant > 0:  # rows counted upward: a mirror image
            found = np.asarray(shapely.reverse(found))
        return found


def _polygons(
    rows: Ints | Floats, columns: Ints | Floats, rings: Ints, polygons: Ints
) -> NDArray[np.object_]:
    """Polygons in pixels, with y upward."""
    return _from_rings(columns, -rows, rings, polygons)


def _from_rings(
    x: Ints | Floats, y: Ints | Floats, rings: Ints, polygons: Ints
) -> NDArray[np.object_]:
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    shapes = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings, polygons))
    return np.asarray(shapes)


def _areas(rows: Ints, columns: Ints, rings: Ints, polygons: Ints) -> Floats:
    """Pixels within polygons; exact."""
    if len(polygons) < 2:
        return np.zeros(0)
    twice = rows[:-1] * columns[1:] - rows[1:] * columns[:-1]
    twice[rings[1:-1] - 1] = 0  # from ring to ring
    return np.asarray(np.add.reduceat(np.append(twice, 0), rings[polygons[:-1]]) / 2)


def _taken_apart(shapes: NDArray[np.object_]) -> tuple[Floats, Floats, Ints, Ints]:
    """Rows, columns, rings and polygons of polygons in pixels, with y upward."""
    _, points, offsets = shapely.to_ragged_array(shapes)
    rings, polygons = (np.asarray(part, dtype=np.int64) for part in offsets)
    return -points[:, 1], points[:, 0], rings, polygons


def _scaled(shapes: NDArray[np.object_], scale: Floats) -> NDArray[np.object_]:
    """Each polygon stretched by its own factors in x and y, (n, 2)."""
    counts = shapely.get_num_coordinates(shapes)
    factors = np.repeat(scale, counts, axis=0)
    return np.asarray(shapely.transform(shapes, lambda points: points * factors))


def _joined(parts: list[Regions]) -> Regions:
    """Regions of several parts as one."""

    def chained(offsets: list[Ints]) -> Ints:
        ends = np.cumsum([0, *(part[-1] for part in offsets)])
        moved = [part[1:] + end for part, end in zip(offsets, ends, strict=False)]
        return np.concatenate([np.zeros(1, dtype=np.int64), *moved])

    nothing = np.zeros(0, dtype=np.int64)
    return Regions(
        np.concatenate([nothing.astype(np.uint8), *(p.values for p in parts)]),
        np.concatenate([nothing, *(p.pixels for p in parts)]),
        np.concatenate([np.zeros((3, 0), dtype=np.int64), *(p.measures for p in parts)], axis=1),
        np.concatenate([nothing, *(p.rows for p in parts)]),
        np.concatenate([nothing, *(p.columns for p in parts)]),
        chained([p.rings for p in parts]),
        chained([p.polygons for p in parts]),
    )


def _slice(regions: Regions, first: int, last: int) -> Regions:
    """Regions ``first`` to ``last``."""
    rings = slice(regions.polygons[first], regions.polygons[last] + 1)
    begin, end = regions.rings[rings][0], regions.rings[rings][-1]
    return Regions(
        regions.values[first:last],
        regions.pixels[first:last],
        regions.measures[:, first:last],
        regions.rows[begin:end],
        regions.columns[begin:end],
        regions.rings[rings] - begin,
        regions.polygons[first : last + 1] - regions.polygons[first],
    )
