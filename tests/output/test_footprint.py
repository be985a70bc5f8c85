"""Where grids lie on Earth."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geocamss.output.footprint import Footprint

FAR_EAST = ("EPSG:32601", Affine(1000, 0, 2e5, 0, -1000, 7e6), (300, 300))
NORTH_POLE = ("EPSG:3413", Affine(10_000, 0, -2e6, 0, -10_000, 1.5e6), (400, 400))
SOUTH_POLE = ("EPSG:3031", Affine(10_000, 0, -1.5e6, 0, -10_000, 2e6), (400, 400))
GRIDS = {
    "utm": ("EPSG:32633", Affine(10, 0, 250_000, 0, -10, 5e6), (3000, 4000)),
    "turned": ("EPSG:32633", Affine(17, 10, 5e5, 10, -17, 5e6), (3000, 4000)),
    "feet": ("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5), (500, 600)),
    "conic": ("EPSG:5070", Affine(1000, 0, -2.3e6, 0, -1000, 3.1e6), (2900, 4600)),
    "far east": FAR_EAST,
    "degrees across 180": ("EPSG:4326", Affine(0.01, 0, 179, 0, -0.01, 10), (100, 200)),
    "degrees beyond 180": ("EPSG:4326", Affine(0.01, 0, 350, 0, -0.01, 10), (100, 200)),
    "the north pole": NORTH_POLE,
    "the south pole": SOUTH_POLE,
}


def footprint(name) -> Footprint:
    crs, transform, shape = GRIDS[name]
    found = Footprint.of(CRS.from_user_input(crs), transform, (0, 0, *shape))
    assert found is not None
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_the_outline_is_valid_and_within_180_degrees(name):
    found = footprint(name)
    shape = shapely.geometry.shape(found.geometry)
    assert shapely.is_valid(shape)
    west, south, east, north = shapely.bounds(shape)
    assert west >= -180
    assert east <= 180
    assert (found.bbox[1], found.bbox[3]) == (south, north)
    assert all(part.exterior.is_ccw for part in shapely.get_parts(shape))


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_lie_inside_and_their_surroundings_outside(name):
    crs, transform, (height, width) = GRIDS[name]
    shape = shapely.geometry.shape(footprint(name).geometry)
    rng = np.random.default_rng(0)
    row, column = rng.uniform(-0.3, 1.3, (2, 500))
    inside = (row > 0.01) & (row < 0.99) & (column > 0.01) & (column < 0.99)
    outside = (row < -0.01) | (row > 1.01) | (column < -0.01) | (column > 1.01)
    x = transform.a * column * width + transform.b * row * height + transform.c
    y = transform.d * column * width + transform.e * row * height + transform.f
    to_earth = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_earth.transform(x, y)
    points = shapely.points((longitude + 180) % 360 - 180, latitude)
    assert shapely.contains(shape, points[inside]).all()
    assert not shapely.contains(shape, points[outside]).any()


def test_a_box_across_the_antimeridian_has_its_west_in_the_east():
    assert footprint("far east").geometry["type"] == "MultiPolygon"
    west, _, east, _ = footprint("far east").bbox
    assert 170 < west < 180
    assert -180 < east < -170


@pytest.mark.parametrize(
    ("crs", "transform", "box"),
    [
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 90), (-180, -90, 180, 90)),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 90), (-180, -90, 180, 90)),
        ("EPSG:4326", Affine(1.01, 0, -180, 0, -1, 90), (-180, -90, 180, 90)),
        (
            "EPSG:3857",
            Affine(40_075_016.685578 / 360, 0, -20_037_508.342789, 0, -2e7 / 90, 2e7),
            (-180, -85.0220, 180, 85.0220),
        ),
    ],
)
def test_the_world_is_whole(crs, transform, box):
    found = Footprint.of(CRS.from_user_input(crs), transform, (0, 0, 180, 360))
    assert found.geometry["type"] == "Polygon"
    np.testing.assert_allclose(found.bbox, box, atol=1e-3)


def test_a_grid_beyond_the_edge_of_its_projection_is_outlined_where_it_is_on_earth():
    crs = CRS.from_string("+proj=ortho +lat_0=0 +lon_0=170")
    found = Footprint.of(crs, Affine(130_000, 0, -6.5e6, 0, -130_000, 6.5e6), (0, 0, 100, 100))
    shape = shapely.geometry.shape(found.geometry)
    assert shapely.is_valid(shape)
    assert shapely.contains_xy(shape, 170, 0)
    assert not shapely.contains_xy(shape, -10, 0)


def test_part_of_a_grid_has_part_of_its_outline():
    crs, transform, shape = GRIDS["utm"]
    known = CRS.from_user_input(crs)
    whole = shapely.geometry.shape(Footprint.of(known, transform, (0, 0, *shape)).geometry)
    part = Footprint.of(known, transform, (100, 200, 300, 500))
    assert shapely.contains(whole, shapely.geometry.shape(part.geometry))


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_without_a_place_on_earth_there_is_none(crs):
    known = crs and CRS.from_wkt(crs)
    assert Footprint.of(known, Affine.identity(), (0, 0, 5, 5)) is None


def test_an_empty_window_has_none():
    crs, transform, _ = GRIDS["utm"]
    assert Footprint.of(CRS.from_user_input(crs), transform, (5, 5, 5, 9)) is None
