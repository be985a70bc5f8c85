"""LonLat: longitudes and latitudes over a grid, for programs that know no map projections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.transform import Affine

from geocamss.scene.ground import to_lonlat

__all__ = ["LonLat"]

Floats = NDArray[np.float64]

FINEST = 129
"""Points along a side, at most."""

DIGITS = 7
"""Decimals of a degree, at most: a centimeter."""

PIXEL_PART = 0.02
"""Of a pixel: how far off a place may be before more points are taken."""


@dataclass(frozen=True)
class LonLat:
    """Points on a lattice over a grid, the first and last ones on its edges.

    In between they are interpolated, bilinearly.
    """

    longitudes: Floats
    """(n, n) degrees east on WGS 84; they do not jump at the antimeridian, and NaN is nowhere."""

    latitudes: Floats
    """(n, n) degrees north, likewise."""

    digits: int
    """Decimals that are right after interpolation."""

    @classmethod
    def of(cls, crs: CRS | None, transform: Affine, width: int, height: int) -> Self | None:
        """Take as many points as a grid needs.

        Returns:
            None where the grid has no place on Earth.
        """
        if crs is None:
            return None
        points = 3
        try:
            while True:
                found = _points(crs, transform, width, height, points)
                between = _points(crs, transform, width, height, 2 * points - 1)
                off = [abs(_doubled(few) - many) for few, many in zip(found, between, strict=True)]
                pixel = abs(np.diff(between[1][:, 0])).sum() / max(1, height)
                good = np.isfinite(off[0]) & np.isfinite(off[1])
                if not good.any():
                    return None
                error = float(max(part[good].max() for part in off))
                if error <= max(PIXEL_PART * pixel, 1e-9) or points >= FINEST:
                    break
                points = 2 * points - 1
        except (CRSError, ProjError):
            return None
        digits = math.floor(-math.log10(2 * max(error, 1e-12)))
        longitudes, latitudes = found
        return cls(longitudes, latitudes, max(0, min(DIGITS, digits)))


def _points(crs: CRS, transform: Affine, width: int, height: int, count: int) -> list[Floats]:
    """Longitudes and latitudes of count x count points."""
    columns, rows = np.meshgrid(np.linspace(0, width, count), np.linspace(0, height, count))
    xs = transform.a * columns + transform.b * rows + transform.c
    ys = transform.d * columns + transform.e * rows + transform.f
    longitudes, latitudes = to_lonlat(crs, xs, ys)
    nowhere = ~(np.isfinite(longitudes) & np.isfinite(latitudes) & (abs(latitudes) <= 90))
    longitudes, latitudes = (np.where(nowhere, np.nan, part) for part in (longitudes, latitudes))
    if np.isfinite(longitudes).any():
        middle = longitudes[np.isfinite(longitudes)][0]
        longitudes = middle + (longitudes - middle + 180) % 360 - 180
    return [longitudes, latitudes]


def _doubled(values: Floats) -> Floats:
    """Points, and the means between them."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        double = np.empty((2 * len(values) - 1, values.shape[1]))
        double[::2] = values
        double[1::2] = (values[1:] + values[:-1]) / 2
        values = np.moveaxis(double, 0, axis)
    return values
