"""Meters from pixel to pixel, against geodesics."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from geocamss.output.areas import PixelAreas
from geocamss.output.runs import find_runs
from geocamss.output.spacing import Spacing


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0.02, 0, 10, 0, -0.01, 60)),
        ("EPSG:3857", Affine(30, 0, 1e6, 0, -30, 8.4e6)),
        ("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5)),
        ("EPSG:32633", Affine.translation(5e5, 5e6) * Affine.rotation(30) * Affine.scale(10, -20)),
    ],
)
def test_steps_are_geodesics(crs, transform):
    spacing = Spacing(CRS.from_string(crs), transform, 500, 400)
    rows, columns = np.array([0.0, 150.5, 200, 399]), np.array([0.0, 20, 410.25, 499])
    down, right = spacing.at(rows, columns)
    turn = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    for found, step in ((down, (0.5, 0.0)), (right, (0.0, 0.5))):
        ends = [
            turn.transform(*(transform * (columns + sign * step[1], rows + sign * step[0])))
            for sign in (-1, 1)
        ]
        np.testing.assert_allclose(found, geod.inv(*ends[0], *ends[1])[2], rtol=1e-3)
    assert spacing.even > 0


def test_without_a_place_a_pixel_is_one():
    spacing = Spacing(None, Affine.identity(), 10, 10)
    assert [part.tolist() for part in spacing.at(np.array([3]), np.array([4]))] == [[1.0], [1.0]]


def test_toward_a_pole_steps_shrink_to_nothing():
    """A row of a geographic grid may be a single point of the Earth."""
    spacing = Spacing(CRS.from_epsg(4326), Affine(0.1, 0, -180, 0, -0.1, 90), 3600, 1800)
    rows = np.array([0.0, 1, 10, 200, 900, 1790, 1799, 1800])
    down, right = spacing.at(rows, np.full(len(rows), 1000.0))
    latitude = 90 - rows / 10
    geod = pyproj.Geod(ellps="WGS84")
    start = np.full(len(rows), -80.0)
    np.testing.assert_allclose(
        right, geod.inv(start - 0.05, latitude, start + 0.05, latitude)[2], rtol=3e-3, atol=0.1
    )
    np.testing.assert_allclose(down, 11_132, rtol=0.01)


def test_a_projection_that_cannot_be_undone_counts_by_its_unit():
    crs = CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=15 +k=0.9996 +x_0=500000 +y_0=0 +R=6371000")
    transform = Affine(10, 0, 5e5, 0, -20, 53e5)
    down, right = Spacing(crs, transform, 40, 40).at(np.array([3]), np.array([4]))
    assert (down, right) == (pytest.approx(20), pytest.approx(10))
    ground = PixelAreas(crs, transform, 40, 40)
    runs = find_runs(np.zeros((40, 40), np.uint8), 0)
    assert ground.of_runs(runs).sum() * ground.unit == pytest.approx(1600 * 200)
