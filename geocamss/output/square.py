"""Square: polygons with right angles, for buildings.

An outline's edges are turned into the polygon's main direction; each stretch that runs rather
along it, or rather across, becomes one straight edge at its mean place, and neighboring edges meet
at right angles. A polygon that would change too much, or be invalid, is left as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["LEAST_OVERLAP", "squared"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Shapes = NDArray[np.object_]

LEAST_OVERLAP = 0.8
"""Of a squared polygon with its original: intersection by union."""


def squared(shapes: Shapes, tolerance: Floats) -> tuple[Shapes, NDArray[np.bool_]]:
    """Give polygons right angles where that suits them.

    Args:
        shapes: (n,) polygons, in units that are alike in all directions.
        tolerance: (n,) how far corners may lie from an outline that is taken for straight.

    Returns:
        The polygons, and which of them are squared.
    """
    plain = shapely.simplify(shapes, tolerance, preserve_topology=True)
    found = np.array([_square(shape) for shape in plain], dtype=object)
    good = np.array([shape is not None for shape in found], dtype=bool)
    good[good] &= shapely.is_valid(found[good])
    common = shapely.area(shapely.intersection(found[good], shapes[good]))
    union = shapely.area(found[good]) + shapely.area(shapes[good]) - common
    good[good] &= common >= LEAST_OVERLAP * union
    return np.where(good, found, shapes), good


def _square(shape: Any) -> Any:
    """One polygon with right angles; None if a ring has too few sides for that."""
    rings = [shapely.get_coordinates(ring) for ring in (shape.exterior, *shape.interiors)]
    steps = np.concatenate([np.diff(ring, axis=0) for ring in rings])
    # A direction and the one across it are the same here: angles count four times.
    turned = np.sum((steps[:, 0] + 1j * steps[:, 1]) ** 4 / np.hypot(*steps.T) ** 2)
    along = np.exp(1j * np.angle(turned) / 4)
    corners = [_corners(ring @ _rotation(along)) for ring in rings]
    kept = [ring @ _rotation(along).T for ring in corners if ring is not None]
    if corners[0] is None:
        return None
    return shapely.Polygon(kept[0], kept[1:])


def _rotation(along: complex) -> Floats:
    """Turns rows of coordinates so that a direction becomes that of x."""
    return np.array([[along.real, -along.imag], [along.imag, along.real]])


def _corners(ring: Floats) -> Floats | None:
    """Corners of a ring whose edges run along x and y; None if there are fewer than four."""
    step = np.diff(ring, axis=0)
    upright = np.abs(step[:, 1]) > np.abs(step[:, 0])
    begins = np.flatnonzero(upright != np.roll(upright, 1))
    if len(begins) < 4:
        return None
    step = np.roll(step, -begins[0], axis=0)
    middle = np.roll((ring[1:] + ring[:-1]) / 2, -begins[0], axis=0)
    upright = np.roll(upright, -begins[0])
    begins = begins - begins[0]
    length = np.hypot(*step.T)
    place = np.where(upright, middle[:, 0], middle[:, 1]) * length
    mean = np.add.reduceat(place, begins) / np.add.reduceat(length, begins)
    other = np.roll(mean, -1)
    first = upright[begins]
    corners = np.stack((np.where(first, mean, other), np.where(first, other, mean)), axis=1)
    return np.concatenate((corners, corners[:1]))
