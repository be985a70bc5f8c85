"""Square: polygons with right angles, for buildings.

An outline's edges are turned into the polygon's main direction; each stretch that runs rather
along it, or rather across, becomes one straight edge at its mean place, and neighboring edges meet
at right angles. A polygon that would change too much, or be invalid, is left as it is. All polygons
are worked on at once, edge by edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["LEAST_OVERLAP", "squared"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Shapes = NDArray[np.object_]

LEAST_OVERLAP = 0.8
"""Of a squared polygon with its original: intersection by union."""

_SIDES = 4
"""A ring with fewer has no right angles."""


def squared(shapes: Shapes, tolerance: Floats) -> tuple[Shapes, Bools]:
    """Give polygons right angles where that suits them.

    Args:
        shapes: (n,) polygons, in units that are alike in all directions.
        tolerance: (n,) how far corners may lie from an outline that is taken for straight.

    Returns:
        The polygons, and which of them are squared.
    """
    if not len(shapes):
        return shapes, np.zeros(0, dtype=bool)
    edges = _edges(shapely.simplify(shapes, tolerance, preserve_topology=True))
    found, good = _squares(edges)
    was = shapes[good]
    fits = shapely.is_valid(found)
    common = shapely.area(shapely.intersection(found[fits], was[fits]))
    union = shapely.area(found[fits]) + shapely.area(was[fits]) - common
    fits[fits] = common >= LEAST_OVERLAP * union
    good[good] = fits
    done = shapes.copy()
    done[good] = found[fits]
    return done, good


class _Edges(NamedTuple):
    """The edges of some polygons, ring by ring; points are complex numbers, x + iy."""

    begin: Complexes
    """(e,) where each edge begins."""

    end: Complexes
    """(e,) where it ends."""

    rings: Ints
    """(r + 1,) ring k has the edges ``rings[k]`` to ``rings[k + 1]``."""

    polygons: Ints
    """(n + 1,) polygon k has the rings ``polygons[k]`` to ``polygons[k + 1]``, its shell first."""


def _edges(shapes: Shapes) -> _Edges:
    _, points, (rings, polygons) = shapely.to_ragged_array(shapes)
    place = points[:, 0] + 1j * points[:, 1]
    last = np.zeros(len(place), dtype=bool)
    last[rings[1:] - 1] = True
    begin, end = np.flatnonzero(~last), np.flatnonzero(~last) + 1
    offsets = np.asarray(rings, dtype=np.int64) - np.arange(len(rings))
    return _Edges(place[begin], place[end], offsets, np.asarray(polygons, dtype=np.int64))


def _squares(edges: _Edges) -> tuple[Shapes, Bools]:
    """Polygons with right angles, and which have one: those whose shell has enough sides.

    Holes that have too few are left out.
    """
    polygon = np.repeat(np.arange(len(edges.polygons) - 1), np.diff(edges.polygons))
    of_edge = np.repeat(polygon, np.diff(edges.rings))
    along = _directions(edges)
    begin, end = edges.begin / along[of_edge], edges.end / along[of_edge]
    corner, sides = _corners(begin, end, edges.rings)
    good = sides[edges.polygons[:-1]] > 0
    wanted = good[polygon] & (sides > 0)
    corner = corner[np.repeat(good[polygon], sides)] * np.repeat(along[polygon], sides * wanted)
    sides, polygon = sides[wanted], polygon[wanted]
    # Each ring ends where it began.
    rings = np.concatenate(([0], np.cumsum(sides + 1)))
    first = np.cumsum(sides) - sides
    step = np.arange(rings[-1]) - np.repeat(rings[:-1], sides + 1)
    closed = corner[np.repeat(first, sides + 1) + step % np.repeat(sides, sides + 1)]
    counts = np.bincount(polygon, minlength=len(good))[good]
    found = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        np.stack((closed.real, closed.imag), axis=1),
        (rings, np.concatenate(([0], np.cumsum(counts)))),
    )
    return np.asarray(found), good


def _directions(edges: _Edges) -> Complexes:
    """(n,) the main direction of each polygon."""
    step = edges.end - edges.begin
    # A direction and the one across it are the same here: angles count four times.
    turned = np.add.reduceat(step**4 / np.abs(step) ** 2, edges.rings[edges.polygons[:-1]])
    return np.asarray(np.exp(1j * np.angle(turned) / 4))


def _corners(begin: Complexes, end: Complexes, rings: Ints) -> tuple[Complexes, Ints]:
    """Corners of rings whose edges run along x and y.

    Args:
        begin: (e,) where each edge begins.
        end: (e,) where it ends.
        rings: (r + 1,) offsets.

    Returns:
        All corners, ring by ring, and how many each ring has; none if it would be too few.
    """
    step = end - begin
    upright = np.abs(step.imag) > np.abs(step.real)
    before = np.arange(-1, len(step) - 1)
    before[rings[:-1]] = rings[1:] - 1
    opens = upright != upright[before]
    sides = np.add.reduceat(opens, rings[:-1], dtype=np.int64)
    sides[sides < _SIDES] = 0
    of_edge = np.repeat(sides, np.diff(rings))
    used = of_edge > 0
    opens &= used
    # Edges before the first side of a ring belong to its last one.
    side = np.cumsum(opens) - 1
    first = np.cumsum(sides) - sides
    early = side < np.repeat(first, np.diff(rings))
    side = side + early * of_edge
    middle = (begin + end) / 2
    length = np.abs(step)
    place = np.where(upright, middle.real, middle.imag) * length
    count = int(sides.sum())
    mean = np.bincount(side[used], place[used], count) / np.bincount(
        side[used], length[used], count
    )
    following = np.arange(1, count + 1)
    following[(first + sides - 1)[sides > 0]] = first[sides > 0]
    after = mean[following]
    stands = upright[opens]
    return np.where(stands, mean, after) + 1j * np.where(stands, after, mean), sides
