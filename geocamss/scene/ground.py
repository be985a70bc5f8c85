"""From the numbers of a coordinate system to meters on the ground.

A unit of a coordinate system is not a meter: web Mercator stretches with latitude, others count
degrees or feet. All distances here are geodesic, on the system's own ellipsoid.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

__all__ = [
    "best_utm",
    "ground_distance",
    "ground_scale",
    "horizontal",
    "to_lonlat",
    "transformer",
    "unit_length",
]

Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Coordinates: eastward, northward."""

_EARTH_RADIUS = 6_378_137.0
_METERS_A_DEGREE = math.radians(_EARTH_RADIUS)
_WGS84 = CRS.from_epsg(4326)


@lru_cache(maxsize=64)
def horizontal(wkt: str) -> pyproj.CRS:
    """The horizontal part of a coordinate system given as WKT: heights left out.

    Raises:
        CRSError: PROJ cannot make sense of it.
    """
    crs = pyproj.CRS.from_wkt(wkt)
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    return crs.to_2d()


def transformer(source: CRS, target: CRS) -> pyproj.Transformer:
    """Turns (x, y) of one system into (x, y) of the other; x is east or longitude.

    Not to be shared by threads.

    Raises:
        ProjError: there is no way from one to the other.
    """
    return pyproj.Transformer.from_crs(
        horizontal(source.to_wkt()), horizontal(target.to_wkt()), always_xy=True
    )


def to_lonlat(crs: CRS, xs: ArrayLike, ys: ArrayLike) -> Points:
    """Longitudes and latitudes in degrees, WGS 84; inf where there are none."""
    lons, lats = transformer(crs, _WGS84).transform(np.asarray(xs, float), np.asarray(ys, float))
    return np.asarray(lons), np.asarray(lats)


def unit_length(crs: CRS) -> float | None:
    """Meters that a unit of a coordinate system counts for; None if it counts angles."""
    system = horizontal(crs.to_wkt())
    if system.is_geographic or not system.axis_info:
        return None
    return float(system.axis_info[0].unit_conversion_factor)


def ground_distance(crs: CRS, start: Points, stop: Points) -> NDArray[np.float64]:
    """Meters between pairs of points (xs, ys); NaN where they are not on the ground.

    A system that is tied to no place on a globe counts by its unit alone.

    Raises:
        CRSError, ProjError: PROJ cannot make sense of the system.
    """
    system = horizontal(crs.to_wkt())
    geodetic = system.geodetic_crs
    try:
        geod = geodetic.get_geod() if geodetic is not None else None
    except (ValueError, ZeroDivisionError):  # an ellipsoid of no size
        geod = None
    if geodetic is None or geod is None:
        x0, y0, x1, y1 = map(np.asarray, (*start, *stop))
        return np.asarray(np.hypot(x1 - x0, y1 - y0) * (unit_length(crs) or math.nan))
    turn = pyproj.Transformer.from_crs(system, geodetic.to_2d(), always_xy=True)
    degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
    xs, ys = np.stack([start[0], stop[0]]), np.stack([start[1], stop[1]])
    lons, lats = (degrees * np.asarray(part) for part in turn.transform(xs, ys))
    good = (np.isfinite(lons) & (np.abs(lats) <= 90 + 1e-6) & (np.abs(lons) <= 1000)).all(axis=0)
    distance: NDArray[np.float64] = np.full(good.shape, np.nan)
    if good.any():
        (lon0, lon1), (lat0, lat1) = lons[:, good], lats[:, good]
        distance[good] = geod.inv(lon0, lat0, lon1, lat1)[2]
    return distance


def ground_scale(crs: CRS, xs: ArrayLike, ys: ArrayLike) -> Points:
    """Meters on the ground for one unit of a coordinate system, eastward and northward.

    NaN where the system does not reach the ground.

    Raises:
        CRSError, ProjError: PROJ cannot make sense of the system.
    """
    xs, ys = np.atleast_1d(np.asarray(xs, float)), np.atleast_1d(np.asarray(ys, float))
    unit = unit_length(crs)
    half = 50.0 / (unit if unit is not None else _METERS_A_DEGREE)
    across = ground_distance(crs, (xs - half, ys), (xs + half, ys)) / (2 * half)
    along = ground_distance(crs, (xs, ys - half), (xs, ys + half)) / (2 * half)
    return across, along


def best_utm(crs: CRS, xs: ArrayLike, ys: ArrayLike) -> CRS | None:
    """The UTM zone, near the poles the UPS zone, at the middle of the points.

    None if they are not on the earth, or spread over more than two zones, where UTM bends.
    """
    ellipsoid = horizontal(crs.to_wkt()).ellipsoid
    if ellipsoid is None or abs(ellipsoid.semi_major_metre / _EARTH_RADIUS - 1) > 0.01:
        return None
    lons, lats = to_lonlat(crs, xs, ys)
    if not (np.isfinite(lons).all() and np.isfinite(lats).all()):
        return None
    lat = float(np.min(lats) + np.max(lats)) / 2
    if abs(lat) > 84:
        return CRS.from_epsg(32661 if lat > 0 else 32761)
    lons = lons[0] + (lons - lons[0] + 180) % 360 - 180  # one side of the antimeridian
    if np.ptp(lons) > 12:
        return None
    lon = (float(np.min(lons) + np.max(lons)) / 2 + 180) % 360 - 180
    zone = min(60, int((lon + 180) // 6) + 1)
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)
