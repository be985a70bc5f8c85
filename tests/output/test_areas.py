"""Areas on the ground, against geodesics on the ellipsoid."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import SceneError
from geocamss.output.areas import PixelAreas, class_areas
from geocamss.output.runs import Runs, find_runs

from .maps import SCHEME, landscape, write_map

GRIDS = {
    "utm": ("EPSG:32633", Affine(10, 0, 250_000, 0, -10, 5_000_000)),
    "degrees": ("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 60)),
    "oblong degrees": ("EPSG:4326", Affine(0.01, 0, 179.9, 0, -0.002, -70)),
    "grads": ("EPSG:4807", Affine(0.01, 0, 1, 0, -0.01, 52)),
    "web mercator": ("EPSG:3857", Affine(30, 0, 1e6, 0, -30, 8.4e6)),
    "feet": ("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5)),
    "the north pole": ("EPSG:3413", Affine(2000, 0, -70_000, 0, -2000, 60_000)),
    "equal area": ("EPSG:3035", Affine(1000, 0, 4.2e6, 0, -1000, 3.2e6)),
    "turned": ("EPSG:32633", Affine(17.3, 10, 5e5, 10, -17.3, 5e6)),
    "south up": ("EPSG:32633", Affine(10, 0, 5e5, 0, 10, 5e6)),
    "turned degrees": ("EPSG:4326", Affine(0.001, 0.0002, 10, 0.0002, -0.001, 60)),
    "coarse": ("EPSG:3857", Affine(20_000, 0, 1e6, 0, -20_000, 8.4e6)),
}
SHAPE = (60, 70)


def geodesic(crs: str, transform: Affine, cells: np.ndarray) -> np.ndarray:
    """Areas of rectangles of pixels (row, column, row, column), their edges as GEOS draws them."""
    known = pyproj.CRS(crs)
    to_geographic = pyproj.Transformer.from_crs(known, known.geodetic_crs, always_xy=True)
    degree = np.degrees(known.geodetic_crs.axis_info[0].unit_conversion_factor)
    geod = known.get_geod()
    areas = []
    for top, left, bottom, right in cells:
        outline = shapely.segmentize(shapely.box(left, top, right, bottom), 0.25)
        column, row = shapely.get_coordinates(outline).T
        x = transform.a * column + transform.b * row + transform.c
        y = transform.d * column + transform.e * row + transform.f
        longitude, latitude = to_geographic.transform(x, y)
        areas.append(abs(geod.polygon_area_perimeter(longitude * degree, latitude * degree)[0]))
    return np.array(areas)


@pytest.mark.parametrize("name", GRIDS)
def test_runs_have_the_area_of_the_ellipsoid_under_them(name):
    crs, transform = GRIDS[name]
    ground = PixelAreas(CRS.from_user_input(crs), transform, SHAPE[1], SHAPE[0])
    rng = np.random.default_rng(1)
    row = np.append(rng.integers(0, SHAPE[0], 20), [0, 29, 30, SHAPE[0] - 1])
    start = np.append(rng.integers(0, 60, 20), [0, 0, 34, SHAPE[1] - 1])
    stop = np.append(start[:20] + rng.integers(1, 10, 20), [SHAPE[1], SHAPE[1], 36, SHAPE[1]])
    runs = Runs(row, start, stop, np.zeros(24, dtype=np.uint8))
    expected = geodesic(crs, transform, np.stack((row, start, row + 1, stop), axis=1))
    np.testing.assert_allclose(ground.of_runs(runs) * ground.unit, expected, rtol=2e-5)


def test_a_web_mercator_pixel_at_sixty_degrees_is_a_quarter_of_its_name():
    crs, transform = GRIDS["web mercator"]
    ground = PixelAreas(CRS.from_user_input(crs), transform, 1, 1)
    (area,) = ground.of_runs(find_runs(np.zeros((1, 1), dtype=np.uint8))) * ground.unit
    assert area == pytest.approx(900 / 4, rel=0.01)


def test_the_pixels_of_the_world_are_the_surface_of_the_earth():
    world = find_runs(np.zeros((180, 360), dtype=np.uint8))
    for crs, transform in (
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 90)),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 90)),
        (
            "EPSG:6933",
            Affine(34_735_060 / 360, 0, -34_735_060 / 2, 0, -14_684_460 / 180, 14_684_460 / 2),
        ),
    ):
        ground = PixelAreas(CRS.from_user_input(crs), transform, 360, 180)
        assert ground.of_runs(world).sum() * ground.unit == pytest.approx(5.10065622e14, rel=1e-3)


def test_beyond_the_edge_of_a_projection_there_is_no_ground():
    crs = CRS.from_string("+proj=ortho +lat_0=40 +lon_0=10 +ellps=sphere")
    transform = Affine(70_000, 0, -7e6, 0, -70_000, 7e6)
    ground = PixelAreas(crs, transform, 200, 200)
    area = ground.of_runs(find_runs(np.zeros((200, 200), dtype=np.uint8))) * ground.unit
    assert area[0] == 0
    assert area[100] > 0


@pytest.mark.parametrize(
    ("crs", "pixel"), [(None, 1.0), ('LOCAL_CS["site",UNIT["foot",0.3048]]', 4 * 0.3048**2)]
)
def test_without_a_place_on_earth_pixels_are_flat(crs, pixel):
    crs = crs and CRS.from_wkt(crs)
    ground = PixelAreas(crs, Affine(2, 0, 0, 0, -2, 0), 5, 5)
    runs = find_runs(np.zeros((5, 5), dtype=np.uint8))
    np.testing.assert_allclose(ground.of_runs(runs) * ground.unit, 5 * pixel, rtol=1e-12)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_whole_numbers_hold_any_map_and_lose_nothing(width, height):
    ground = PixelAreas(None, Affine.identity(), width, height)
    one = Runs(*(np.array([n]) for n in (0, 0, 1)), np.zeros(1, dtype=np.uint8))
    assert int(ground.of_runs(one)[0]) * width * height < 2**62
    assert ground.of_runs(one)[0] * ground.unit == pytest.approx(1.0, rel=1e-6)


@pytest.fixture
def mapped(tmp_path):
    pixels = landscape(90, 110)
    percent = np.random.default_rng(2).integers(0, 101, pixels.shape).astype(np.uint8)
    percent[pixels == NODATA] = NODATA
    crs, transform = GRIDS["web mercator"]
    classes = write_map(tmp_path / "classes.tif", pixels, crs, transform)
    confidence = write_map(tmp_path / "confidence.tif", percent, crs, transform)
    return pixels, percent, classes, confidence


def test_classes_add_up(mapped):
    pixels, percent, classes, confidence = mapped
    areas = class_areas(classes, confidence, SCHEME)
    assert [(a.value, a.name) for a in areas] == [(c.value, c.name) for c in SCHEME]
    assert [a.pixels for a in areas] == [int((pixels == c.value).sum()) for c in SCHEME]
    means = [percent[pixels == c.value].mean() for c in SCHEME]
    np.testing.assert_allclose([a.mean_confidence for a in areas], means, rtol=1e-12)
    assert sum(a.share for a in areas) == pytest.approx(1.0)
    assert areas[0].area_m2 < areas[0].pixels * 900 / 3


def test_a_class_without_pixels_is_listed_with_zeros(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.full((3, 3), 1, dtype=np.uint8))
    first, second = class_areas(classes, None, ClassScheme.of(["a", "b"]))
    assert (first.pixels, first.area_m2, first.share, first.mean_confidence) == (0, 0.0, 0.0, None)
    assert (second.pixels, second.share) == (9, 1.0)


def test_all_nodata_has_no_shares(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.full((3, 3), NODATA, dtype=np.uint8))
    assert [a.share for a in class_areas(classes, None, SCHEME)] == [0.0] * len(SCHEME)


def test_a_value_without_a_name_is_an_error_that_tells_both(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.full((3, 3), 9, dtype=np.uint8))
    with pytest.raises(SceneError, match=r"value 9.*names 0, 1, 2, 3, 4"):
        class_areas(classes, None, SCHEME)
