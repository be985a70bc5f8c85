from __future__ import annotations

import json
import math
import warnings

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from rasterio.crs import CRS
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from geocamss.errors import GeocamssWarning, GridError
from geocamss.scene.aoi import PolygonMask, read_aoi
from geocamss.scene.grid import choose_grid
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from tests.scene.conftest import UTM

RGB = np.zeros((3, 40, 50), np.uint8)
SCENE = (500_000.0, 4_999_600.0, 500_500.0, 5_000_000.0)
GRID_CRS = CRS.from_epsg(32633)


@pytest.fixture
def area(tmp_path):
    """Writes shapes to a vector file."""

    def written(*shapes, name="area.gpkg", crs=UTM, to=None, **options):
        frame = geopandas.GeoDataFrame(geometry=list(shapes), crs=crs)
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            (frame.to_crs(to) if to else frame).to_file(path, **options)
        return path

    return written


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("a.gpkg", UTM),
        ("a.gpkg", "EPSG:3035"),
        ("a.geojson", "EPSG:4326"),
        ("a.shp", "EPSG:3857"),
        ("a.fgb", "EPSG:32632"),
    ],
)
def test_an_area_of_any_kind_and_crs_is_read(area, name, to):
    shape = box(500_105, 4_999_755, 500_300, 4_999_900)
    found = read_aoi(area(shape, name=name, to=to), GRID_CRS, SCENE)
    assert found.symmetric_difference(shape).area < 1e-4 * shape.area


def test_areas_are_joined(area):
    one, two = (
        box(500_100, 4_999_700, 500_200, 4_999_800),
        box(500_150, 4_999_700, 500_300, 4_999_750),
    )
    assert read_aoi(area(one, two), GRID_CRS, SCENE).equals(one | two)


def test_a_bow_tie_is_mended(area):
    bow = Polygon(
        [(500_100, 4_999_700), (500_200, 4_999_800), (500_200, 4_999_700), (500_100, 4_999_800)]
    )
    assert read_aoi(area(bow), GRID_CRS, SCENE).area == pytest.approx(5000)


def test_an_area_as_large_as_the_world_is_cut(area):
    world = area(box(-180, -90, 180, 90), crs="EPSG:4326")
    found = read_aoi(world, GRID_CRS, SCENE)
    assert box(*SCENE).within(found.buffer(1e-3))


def test_straight_lines_of_another_crs_are_bent(area):
    # a parallel, straight in degrees, is an arc in UTM: by 0.9 km in the middle of this one
    wide = (166_000.0, 4_900_000.0, 834_000.0, 5_200_000.0)
    strip = area(box(10.8, 46, 19.2, 46.5), crs="EPSG:4326")
    found = read_aoi(strip, GRID_CRS, wide)
    turn = pyproj.Transformer.from_crs(4326, 32633, always_xy=True).transform
    dense = shapely.segmentize(box(10.8, 46, 19.2, 46.5), 0.01)
    bent = shapely.transform(dense, lambda points: np.column_stack(turn(*points.T)))
    assert found.symmetric_difference(bent).area < 1e-3 * bent.area


def test_straight_lines_are_bent_across_the_antimeridian(area):
    crs = CRS.from_epsg(32701)
    turn = pyproj.Transformer.from_crs(4326, 32701, always_xy=True).transform
    x, y = turn(-180, -65)
    strip = box(-180.9, -65.05, -179.05, -64.95)
    dense = shapely.segmentize(strip, 0.005)
    bent = shapely.transform(dense, lambda points: np.column_stack(turn(*points.T)))
    path = area(strip, crs="EPSG:4326")
    found = read_aoi(path, crs, (x - 60_000, y - 15_000, x + 60_000, y + 15_000))
    assert found.symmetric_difference(bent).area < 1e-3 * bent.area


@pytest.mark.parametrize(
    ("bounds", "lons"),
    [
        ((179.95, -17.1, 180.05, -16.9), (-179.998, -179.96)),
        ((-180.05, -17.1, -179.95, -16.9), (179.96, 179.998)),
        ((179.95, -17.1, 180.05, -16.9), (179.96, 179.998)),
    ],
)
def test_an_area_in_degrees_is_found_beyond_the_antimeridian(area, bounds, lons):
    path = area(box(lons[0], -17.05, lons[1], -16.95), crs="EPSG:4326")
    found = read_aoi(path, CRS.from_epsg(4326), bounds)
    there = found & box(*bounds)
    assert there.area == pytest.approx((lons[1] - lons[0]) * 0.1)


# Shapely says so of the very rings that are tried.
@pytest.mark.filterwarnings("ignore:Non closed ring:RuntimeWarning")
@pytest.mark.parametrize("ring", [4, 3, "nan"])
def test_rings_that_are_none_are_refused(tmp_path, ring):
    points = [[15.0, 45.14], [15.005, 45.14], [15.005, 45.15], [15.0, 45.15], [15.0, 45.14]]
    points = [[15.0, 45.14], [math.nan, 45.14], points[2], points[0]] if ring == "nan" else points
    ring = len(points) if ring == "nan" else ring
    shape = {"type": "Polygon", "coordinates": [points[:ring]]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(GridError, match=r"area\.geojson"):
        read_aoi(path, GRID_CRS, SCENE)


@pytest.mark.parametrize(
    ("shape", "crs", "match"),
    [
        (Point(500_100, 4_999_700), UTM, "holds no polygons"),
        (LineString([(0, 0), (1, 1)]), UTM, "holds no polygons"),
        (box(0, 0, 1, 1), UTM, "does not overlap the scene, which covers"),
        (box(500_500, 4_999_600, 500_600, 5_000_000), UTM, "does not overlap"),  # they only touch
        (box(-70, -30, -69, -29), "EPSG:4326", "does not overlap"),
        (box(500_100, 4_999_700, 500_200, 4_999_800), None, "does not say its coordinate system"),
    ],
)
def test_an_area_that_is_none_is_refused(area, shape, crs, match):
    with pytest.raises(GridError, match=match) as caught:
        read_aoi(area(shape, crs=crs), GRID_CRS, SCENE)
    assert "area.gpkg" in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "text.geojson").write_text("nothing")
    for name in ("text.geojson", "missing.gpkg"):
        with pytest.raises(GridError, match="cannot be read as an area of interest"):
            read_aoi(tmp_path / name, GRID_CRS, SCENE)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(GridError, match=r"holds no polygons|no layer with geometries"):
        read_aoi(tmp_path / "none.geojson", GRID_CRS, SCENE)


def test_of_several_layers_the_first_is_taken_with_a_warning(area):
    shape = box(500_100, 4_999_700, 500_200, 4_999_800)
    area(shape, layer="one")
    path = area(box(0, 0, 1, 1), layer="two", mode="a")
    with pytest.warns(GeocamssWarning, match="has 2 layers; 'one', the first"):
        assert read_aoi(path, GRID_CRS, SCENE).equals(shape)


# --- the grid of an area


def test_a_grid_covers_the_area_in_whole_pixels_of_the_whole_grid(make, area):
    scene = Scene.open(make(RGB))
    whole = choose_grid(scene, 10)
    shape = box(500_105, 4_999_755, 500_300, 4_999_900)
    grid = choose_grid(scene, 10, aoi=area(shape))
    assert grid.bounds == (500_100, 4_999_750, 500_300, 4_999_900)
    assert grid.aligned == (10, 10)
    assert grid.origin == (whole.origin[0] + 10, whole.origin[1] + 10)
    assert grid.aoi.equals(shape)


def test_an_area_beyond_the_scene_is_cut_to_it(make, area):
    scene = Scene.open(make(RGB))
    grid = choose_grid(scene, 10, aoi=area(box(499_000, 4_990_000, 501_000, 5_001_000)))
    assert grid.transform == scene.transform
    assert grid.shape == (40, 50)


def test_new_pixels_lie_where_they_do_without_an_area(make, area):
    scene = Scene.open(make(RGB))
    whole = choose_grid(scene, 3)
    grid = choose_grid(scene, 3, aoi=area(box(500_105, 4_999_755, 500_300, 4_999_900)))
    offset = ~whole.transform * (grid.transform.c, grid.transform.f)
    assert offset == pytest.approx((round(offset[0]), round(offset[1])), abs=1e-6)
    assert grid.origin == (whole.origin[0] + round(offset[1]), whole.origin[1] + round(offset[0]))


def test_an_area_smaller_than_a_pixel_needs_its_center(make, area):
    scene = Scene.open(make(RGB))
    grid = choose_grid(scene, 10, aoi=area(box(500_104, 4_999_994, 500_106, 4_999_996)))
    assert grid.shape == (1, 1)
    with pytest.raises(GridError, match="center of no pixel"):
        choose_grid(scene, 10, aoi=area(box(500_101, 4_999_991, 500_102, 4_999_992), name="b.gpkg"))


def test_a_picture_without_crs_has_no_area(make, area):
    scene = Scene.open(make(RGB, crs=None))
    with pytest.warns(GeocamssWarning), pytest.raises(GridError, match="no area of interest"):
        choose_grid(scene, 10, aoi=area(box(0, 0, 10, 10)))


# --- which pixels are inside


def polygons():
    """Stars around the middle of 30 by 30 pixels, some with a hole."""
    radii = st.lists(st.floats(1, 20), min_size=3, max_size=12)

    def star(lengths, hole):
        angles = np.linspace(0, 2 * np.pi, len(lengths), endpoint=False)
        ring = np.column_stack([15 + lengths * np.cos(angles), 15 + lengths * np.sin(angles)])
        shape = shapely.make_valid(Polygon(ring))
        return shape - Point(15.3, 14.2).buffer(hole) if hole else shape

    return st.builds(star, radii.map(np.array), st.sampled_from([0, 0.5, 3.0]))


@given(polygons())
def test_pixels_whose_center_is_inside_are_inside(shape):
    parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon" and not p.is_empty]
    assume(parts)
    shape = MultiPolygon(parts)
    cols, rows = np.meshgrid(np.arange(30) + 0.5, np.arange(30) + 0.5)
    near = shapely.distance(shape.boundary, shapely.points(cols, rows)) < 1e-9
    found = PolygonMask(shape, Affine.identity()).inside(Window(0, 0, 30, 30))
    assert ((found == shapely.contains_xy(shape, cols, rows)) | near).all()
    burnt = rasterio.features.geometry_mask([shape], (30, 30), Affine.identity(), invert=True)
    assert ((found == burnt) | near).all()


@given(polygons(), st.integers(-5, 30), st.integers(-5, 30), st.integers(0, 40), st.integers(0, 40))
def test_the_window_makes_no_difference(shape, row, col, height, width):
    place = Affine(0.3, 0, 4.4, 0, -0.7, 99.9)
    there = shapely.transform(shape, lambda p: np.column_stack(place * p.T))
    assume(not there.is_empty)
    parts = [p for p in shapely.get_parts(there) if p.geom_type == "Polygon"]
    mask = PolygonMask(MultiPolygon(parts), place)
    whole = mask.inside(Window(-5, -5, 80, 80))
    part = mask.inside(Window(row, col, height, width))
    assert (part == whole[row + 5 : row + 5 + height, col + 5 : col + 5 + width]).all()


def test_an_empty_area_has_nothing_inside():
    assert not PolygonMask(MultiPolygon(), Affine.identity()).inside(Window(0, 0, 9, 9)).any()


def test_areas_that_share_an_edge_share_no_pixel_and_leave_none_out():
    # centers lie on the edges between them
    window = Window(0, 0, 10, 10)
    left = PolygonMask(box(0, 0, 4.5, 10), Affine.identity()).inside(window)
    right = PolygonMask(box(4.5, 0, 10, 10), Affine.identity()).inside(window)
    assert (left ^ right).all()
    upper = PolygonMask(box(0, 0, 10, 3.5), Affine.identity()).inside(window)
    lower = PolygonMask(box(0, 3.5, 10, 10), Affine.identity()).inside(window)
    assert (upper ^ lower).all()


def test_pixels_beyond_the_grid_are_outside(make, area):
    grid = choose_grid(
        Scene.open(make(RGB)), 10, aoi=area(box(500_105, 4_999_755, 500_300, 4_999_900))
    )
    around = grid.inside(Window(-3, -3, grid.height + 6, grid.width + 6))
    assert (around[3:-3, 3:-3] == grid.inside(grid.window)).all()
    assert around.sum() == grid.inside(grid.window).sum()
