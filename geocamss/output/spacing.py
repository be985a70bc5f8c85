"""Spacing: how many meters on the ground a step from pixel to pixel is.

It is measured along the ellipsoid at points spread over the map, with linear interpolation in
between. Without a CRS, or off the Earth, a pixel is 1; where PROJ finds no way to the ground, units
of the CRS count as they are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.transform import Affine
from scipy.ndimage import map_coordinates

from geocamss.scene.ground import ground_distance, unit_length

__all__ = ["Spacing"]

Floats = NDArray[np.float64]
Reals = NDArray[np.float64] | NDArray[np.int64]

_POINTS = 65
"""Along an axis of the map."""

_EVEN = 1e-3
"""A relative change that does not matter."""

_LEAST = 1e-6
"""Of a usual step: what one counts for that leads nowhere, as along a pole."""


class Spacing:
    """Meters for a step of one pixel, anywhere in a map."""

    def __init__(self, crs: CRS | None, transform: Affine, width: int, height: int) -> None:
        """Measure the map."""
        rows = np.linspace(0, height, _POINTS)
        columns = np.linspace(0, width, _POINTS)
        self._steps = rows[1], columns[1]
        self._downward = _measured(crs, transform, rows, columns, (1.0, 0.0))
        self._rightward = _measured(crs, transform, rows, columns, (0.0, 1.0))
        change = max(_change(self._downward), _change(self._rightward), _EVEN / _POINTS)
        self.even = float(min(self._steps)) * _EVEN / change
        """Pixels over which a step stays the same but for a thousandth."""

    def at(self, rows: Reals, columns: Reals) -> tuple[Floats, Floats]:
        """Meters for a step downward and for one rightward, at lines of the pixel lattice."""
        place = np.stack((rows / self._steps[0], columns / self._steps[1]))
        down, right = (
            np.asarray(map_coordinates(values, place, order=1, mode="nearest"))
            for values in (self._downward, self._rightward)
        )
        return down, right


def _measured(
    crs: CRS | None, transform: Affine, rows: Floats, columns: Floats, step: tuple[float, float]
) -> Floats:
    """Meters for a step in pixels, (rows, columns)."""
    row, column = np.meshgrid(rows, columns, indexing="ij")
    if crs is None:
        return np.ones(row.shape)
    # Long enough that coordinates' rounding does not show, and within the map.
    reach = max(1e-3 * max(len(rows), rows[-1], columns[-1]), 1.0)
    down, right = step[0] * reach / 2, step[1] * reach / 2

    def place(down: float, right: float) -> tuple[Floats, Floats]:
        r, c = np.clip(row + down, 0, rows[-1]), np.clip(column + right, 0, columns[-1])
        x = transform.a * c + transform.b * r + transform.c
        y = transform.d * c + transform.e * r + transform.f
        return x.ravel(), y.ravel()

    start, stop = place(-down, -right), place(down, right)
    moved = math.hypot(
        transform.a * step[1] + transform.b * step[0], transform.d * step[1] + transform.e * step[0]
    )
    pixels = np.hypot(stop[0] - start[0], stop[1] - start[1]) / moved
    try:
        meters = ground_distance(crs, start, stop) / pixels
    except CRSError:
        meters = np.full(len(pixels), np.nan)
    except ProjError:  # a projection that cannot be undone
        meters = np.full(len(pixels), moved * (unit_length(crs) or math.nan))
    known = np.isfinite(meters)
    positive = meters[known & (meters > 0)]
    if not len(positive):
        return np.ones(row.shape)
    usual = np.median(positive)
    meters = np.maximum(np.where(known, meters, usual), _LEAST * usual)
    return np.asarray(meters.reshape(row.shape))


def _change(values: Floats) -> float:
    """Largest relative change from point to point."""
    return float(max(np.abs(np.diff(values, axis=axis)).max() for axis in (0, 1)) / values.min())
