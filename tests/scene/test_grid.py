from __future__ import annotations

import math
import warnings

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from geocamss.errors import GeocamssWarning, GridError
from geocamss.scene.grid import Grid, choose_grid, lattice_origin
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from tests.scene.conftest import UTM
from tests.scene.test_scene import rpc

RGB = np.zeros((3, 40, 50), np.uint8)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def upright(size, left, top, height=None):
    return Affine(size, 0, left, 0, -(height or size), top)


TRANSFORMS = [
    ("EPSG:32612", upright(30, 301_905, 4_154_085)),  # Landsat: phase 1/2
    ("EPSG:32633", upright(10, 399_960, 5_000_040)),  # Sentinel-2: phase 0
    ("EPSG:3857", upright(0.29858214173896974, 9520461.184003558, 3201259.181611467)),
    ("EPSG:4326", upright(8.983152841214912e-05, -56.3736858233922, -1.4586843583532)),
    ("EPSG:4326", upright(0.0002777777777777778, 9.999861111111112, 47.000138888888884)),
    ("EPSG:32618", upright(300.0379266750948, 101985.0, 2826915.0, 300.041782729805)),
    ("EPSG:26914", upright(0.6, 485900.4, 5209245.0)),
]


def covers(grid: Grid, bounds, slack=1e-6):
    left, bottom, right, top = grid.bounds
    x, y = slack * grid.transform.a, slack * -grid.transform.e
    return (
        left <= bounds[0] + x
        and bottom <= bounds[1] + y
        and right >= bounds[2] - x
        and top >= bounds[3] - y
    )


# --- the scene's own pixels


@pytest.mark.parametrize("ratio", [0.76, 0.9, 1.0, 1.24])
def test_a_scene_near_the_models_size_keeps_its_pixels(make, ratio):
    path = make(RGB)
    scene = Scene.open(path)
    grid = choose_grid(scene, scene.gsd / ratio)
    with rasterio.open(path) as dataset:
        assert (grid.crs, grid.transform, grid.shape) == (
            dataset.crs,
            dataset.transform,
            dataset.shape,
        )
        assert grid.bounds == tuple(dataset.bounds)
    assert grid.aligned == (0, 0)


@pytest.mark.parametrize("size", [7.5, 12.5])
@pytest.mark.parametrize("easting", [166_000, 500_000])
def test_a_quarter_more_or_less_is_near_wherever_in_its_zone(make, size, easting):
    path = make(RGB, transform=Affine(size, 0, easting, 0, -size, 5_000_000))
    assert choose_grid(Scene.open(path), 10).aligned == (0, 0)


@pytest.mark.parametrize("ratio", [0.74, 1.26, 0.3, 3])
def test_a_scene_of_another_size_takes_the_models(make, ratio):
    scene = Scene.open(make(RGB))
    grid = choose_grid(scene, 10 / ratio)
    assert grid.aligned is None
    assert grid.crs == scene.crs
    assert grid.transform.a == -grid.transform.e == 10 / ratio
    assert covers(grid, (500_000, 4_999_600, 500_500, 5_000_000))


def test_both_sides_of_a_pixel_must_be_near_the_models(make):
    path = make(RGB, transform=Affine(5, 0, 500_000, 0, -20, 5_000_000))
    assert choose_grid(Scene.open(path), 10).aligned is None


def test_native_keeps_the_pixels_whatever_the_model_wants(make):
    scene = Scene.open(make(RGB))
    assert choose_grid(scene, 100, gsd="native").transform == scene.transform


@pytest.mark.parametrize(("gsd", "own"), [(10, True), (10.004, True), (9.8, False)])
def test_the_scenes_own_size_in_meters_keeps_the_pixels(make, gsd, own):
    grid = choose_grid(Scene.open(make(RGB)), 100, gsd=gsd)
    assert (grid.aligned == (0, 0)) is own


@pytest.mark.parametrize(
    "flip",
    [
        Affine(10, 0, 0, 0, 10, -400),
        Affine(-10, 0, 500, 0, -10, 0),
        Affine(-10, 0, 500, 0, 10, -400),
    ],
    ids=["south-up", "west-left", "both"],
)
def test_a_flipped_scene_gets_its_own_pixels_the_right_side_up(make, flip):
    path = make(RGB, transform=Affine.translation(500_000, 5_000_000) * flip)
    grid = choose_grid(Scene.open(path), 10)
    assert grid.transform == NORTH_UP
    assert (grid.shape, grid.aligned) == ((40, 50), None)


# --- new pixels


@pytest.mark.parametrize("angle", [10, 45, 90, 180, 200])
def test_a_rotated_scene_gets_a_plain_grid(make, angle):
    turned = Affine.translation(500_000, 5_000_000) * Affine.rotation(angle) * Affine.scale(10, -10)
    grid = choose_grid(Scene.open(make(RGB, transform=turned)), 10)
    xs, ys = zip(*(turned * corner for corner in ((0, 0), (50, 0), (0, 40), (50, 40))), strict=True)
    if angle != 180:  # which is upside down, and no more
        assert grid.aligned is None
    assert (grid.transform.b, grid.transform.d) == (0, 0)
    assert grid.transform.a == -grid.transform.e == 10
    assert covers(grid, (min(xs), min(ys), max(xs), max(ys)))
    assert grid.width <= (max(xs) - min(xs)) / 10 + 2


def test_a_sheared_scene_gets_a_plain_grid(make):
    sheared = Affine(10, 3, 500_000, 0, -10, 5_000_000)
    grid = choose_grid(Scene.open(make(RGB, transform=sheared)), 10)
    assert grid.aligned is None
    assert covers(grid, (500_000, 4_999_600, 500_620, 5_000_000))


def test_rotation_that_moves_no_pixel_is_none(make):
    noisy = Affine(10, 1e-9, 500_000, -1e-9, -10, 5_000_000)
    assert choose_grid(Scene.open(make(RGB, transform=noisy)), 10).aligned == (0, 0)


def test_lines_of_new_pixels_lie_at_multiples_of_their_size(make):
    scene = Scene.open(make(RGB, transform=Affine(10, 0, 500_003, 0, -10, 5_000_007)))
    grid = choose_grid(scene, 3)
    assert grid.transform.c % 3 == grid.transform.f % 3 == 0
    assert grid.origin == (round(-grid.transform.f / 3), round(grid.transform.c / 3))


def test_degrees_become_meters_in_the_best_zone(make):
    for lon, lat, epsg in (
        (15, 45, 32633),
        (-70, -33, 32719),
        (-179.99, 10, 32601),
        (9, 85, 32661),
    ):
        path = make(RGB, crs="EPSG:4326", transform=Affine(1 / 3600, 0, lon, 0, -1 / 3600, lat))
        grid = choose_grid(Scene.open(path), 10)
        assert grid.crs.to_epsg() == epsg
        assert grid.transform.a == -grid.transform.e == 10


def test_a_scene_across_the_antimeridian_is_small(make):
    path = make(RGB, crs="EPSG:4326", transform=Affine(1 / 3600, 0, 179.995, 0, -1 / 3600, 10))
    grid = choose_grid(Scene.open(path), 10)
    assert grid.crs.to_epsg() in (32601, 32660)
    assert grid.width < 200
    back = choose_grid(Scene.open(path), 10, gsd=30, crs="EPSG:4326")
    assert back.width < 100


def test_a_scene_of_half_the_earth_stays_in_degrees(make):
    path = make(RGB, crs="EPSG:4326", transform=Affine(3, 0, -75, 0, -3, 60))
    grid = choose_grid(Scene.open(path), 1, gsd=100_000)
    assert grid.crs.to_epsg() == 4326
    assert grid.gsd == pytest.approx(100_000, rel=0.02)


@pytest.mark.parametrize("latitude", [0, 20, 45, 60, 75])
def test_new_pixels_have_true_meters_in_web_mercator(make, latitude):
    y = 6378137 * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    path = make(RGB, crs="EPSG:3857", transform=Affine(0.6, 0, 1e6, 0, -0.6, y))
    grid = choose_grid(Scene.open(path), 2)
    assert grid.crs.to_epsg() == 3857
    assert grid.gsd == pytest.approx(2, rel=0.02)
    assert grid.transform.a == -grid.transform.e


def test_new_pixels_have_true_meters_in_feet(make):
    path = make(RGB, crs="EPSG:2263", transform=Affine(1, 0, 1e6, 0, -1, 2e5))
    grid = choose_grid(Scene.open(path), 3.048)
    assert grid.transform.a == pytest.approx(10 / (0.3048006096 / 0.3048))


def test_another_crs_is_taken(make):
    scene = Scene.open(make(RGB))
    grid = choose_grid(scene, 10, crs="EPSG:3035")
    bounds = transform_bounds(scene.crs, "EPSG:3035", 500_000, 4_999_600, 500_500, 5_000_000)
    assert grid.crs.to_epsg() == 3035
    assert grid.transform.a == 10
    assert covers(grid, bounds)
    assert grid.width < 60


def test_another_crs_in_degrees_has_pixels_that_are_square_on_the_ground(make):
    grid = choose_grid(Scene.open(make(RGB)), 10, crs="EPSG:4326")
    assert grid.transform.a / -grid.transform.e == pytest.approx(1.414, rel=0.03)
    assert grid.gsd == pytest.approx(10, rel=0.02)


def test_the_scenes_own_crs_changes_nothing(make):
    scene = Scene.open(make(RGB))
    assert choose_grid(scene, 10, crs=UTM) == choose_grid(scene, 10)


@pytest.mark.parametrize("gsd", ["native", "auto", 20.0])
def test_control_points_and_polynomials_make_plain_grids(make, gsd):
    points = [
        GroundControlPoint(row, col, 500_000 + 9 * col - 4 * row, 5_000_000 - 9 * row - 4 * col)
        for row, col in ((0, 0), (0, 50), (40, 0), (40, 50))
    ]
    grid = choose_grid(Scene.open(make(RGB, crs=None, gcps=(points, UTM))), 10, gsd=gsd)
    size = {"native": 9.85, "auto": 10, 20.0: 20}[gsd]
    assert grid.crs.to_epsg() == 32633
    assert grid.transform.a == pytest.approx(size, rel=1e-3)
    assert covers(grid, (499_840, 4_999_440, 500_450, 5_000_000))

    scene = Scene.open(make(np.zeros((1, 100, 100), np.uint8), "r.tif", crs=None, rpcs=rpc()))
    grid = choose_grid(scene, 500, gsd=gsd if gsd != 20.0 else 600.0)
    assert grid.crs.to_epsg() == 32633
    assert grid.gsd == pytest.approx({"native": 936, "auto": 500, 20.0: 600}[gsd], rel=0.01)


def test_neighboring_scenes_in_web_mercator_share_a_lattice(make):
    grids = []
    for i, y in enumerate((6_800_000, 6_799_000)):
        path = make(RGB, f"{i}.tif", crs="EPSG:3857", transform=Affine(20, 0, 0, 0, -20, y))
        grids.append(choose_grid(Scene.open(path), 20))
    assert grids[0].transform.a == grids[1].transform.a


def test_a_much_coarser_scene_is_told_of(make):
    with pytest.warns(GeocamssWarning, match="much coarser than the map's, of 1 m"):
        choose_grid(Scene.open(make(RGB)), 1)


# --- what cannot be done


@pytest.mark.parametrize("gsd", [0, -1, math.nan, math.inf, "fine", None, True])
def test_a_size_that_is_none_is_refused(make, gsd):
    with pytest.raises(GridError, match=r"gsd is auto, native, or a pixel size in meters"):
        choose_grid(Scene.open(make(RGB)), 10, gsd=gsd)


@pytest.mark.parametrize("crs", ["EPSG:999999", "nonsense", ""])
def test_a_crs_that_is_unknown_is_refused(make, crs):
    with pytest.raises(GridError, match=r"crs '.*' is not known"):
        choose_grid(Scene.open(make(RGB)), 10, crs=crs)


def test_a_scene_outside_of_the_crs_is_refused(make):
    path = make(RGB, crs="EPSG:4326", transform=Affine(1e-3, 0, 15, 0, -1e-3, -90 + 1e-4))
    with pytest.raises(GridError):
        choose_grid(Scene.open(path), 100, crs="EPSG:3857")


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32660", "ESRI:54030"])
def test_a_crs_that_tears_a_scene_apart_is_refused(make, crs):
    """Most of a map of both ends of web Mercator would be empty, and it would span the world."""
    place = Affine(10, 0, 816_500, 0, -10, 8_000_000)
    scene = Scene.open(make(np.zeros((3, 200, 200), np.uint8), crs="EPSG:32760", transform=place))
    if crs == "EPSG:32660":
        assert choose_grid(scene, 10, crs=crs).width < 300
        return
    with pytest.raises(GridError, match=r"ends of .*; choose another crs"):
        choose_grid(scene, 10, crs=crs)


def test_a_crs_without_places_is_refused(make):
    with pytest.raises(GridError, match=r"EPSG:5773.* has heights only|no places"):
        choose_grid(Scene.open(make(RGB)), 10, crs="EPSG:5773")


@pytest.mark.parametrize("gsd", [600.0, 3e5, 1e6])
def test_pixels_larger_than_the_scene_are_refused(make, gsd):
    with pytest.raises(GridError, match=r"larger than the scene, of 5\d\d by 4\d\d m"):
        choose_grid(Scene.open(make(RGB)), 10, gsd=gsd)


def test_a_map_that_nobody_could_write_is_refused(make):
    path = make(RGB, crs="EPSG:4326", transform=Affine(3, 0, -75, 0, -3, 60))
    with (
        pytest.warns(GeocamssWarning, match="coarser"),
        pytest.raises(GridError, match="choose larger ones with gsd"),
    ):
        choose_grid(Scene.open(path), 0.5)


# --- pixel space


def test_a_picture_is_mapped_in_pixels_with_a_warning(make):
    scene = Scene.open(make(RGB, crs=None))
    with pytest.warns(GeocamssWarning, match="is not georeferenced; it is mapped in pixels"):
        grid = choose_grid(scene, 10)
    assert (grid.crs, grid.transform, grid.shape) == (None, Affine.scale(1, -1), (40, 50))
    assert (grid.origin, grid.aligned) == ((0, 0), (0, 0))
    assert grid.gsd is grid.row_areas() is None


def test_a_transform_without_crs_stays_as_it_stands(make):
    turned = Affine.translation(7, 9) * Affine.rotation(30)
    path = make(RGB, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = turned
    with pytest.warns(GeocamssWarning):
        assert choose_grid(Scene.open(path), 10).transform.almost_equals(turned)


@pytest.mark.parametrize("asked", [{"gsd": 5.0}, {"crs": "EPSG:4326"}])
def test_a_picture_has_no_meters(make, asked):
    with pytest.raises(GridError, match="its pixels have no size in meters"):
        choose_grid(Scene.open(make(RGB, crs=None)), 10, **asked)


# --- the global lattice


@given(
    st.sampled_from(TRANSFORMS),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.booleans(),
)
def test_a_part_of_a_scene_has_the_global_pixels_of_the_whole(place, row, col, as_window):
    _, transform = place
    part = transform * Affine.translation(col, row)
    if not as_window:  # as other software writes it: with fewer digits
        part = Affine(part.a, 0, float(f"{part.c:.12g}"), 0, part.e, float(f"{part.f:.12g}"))
    whole = lattice_origin(transform)
    assert lattice_origin(part) == (whole[0] + row, whole[1] + col)


@given(st.sampled_from(TRANSFORMS), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_a_grid_has_the_coordinates_of_the_whole_to_the_last_bit(place, row, col):
    crs, transform = place
    origin = lattice_origin(transform)
    whole = Grid(CRS.from_user_input(crs), transform, 100, 100, origin, (3, 4))
    part = whole.part(Window(row, col, 20, 10))
    assert part.aligned == (3 + row, 4 + col)
    for cols, rows in ((0.5, 0.5), (9.5, 3.25)):
        assert part.coordinates(cols, rows) == whole.coordinates(cols + col, rows + row)
        by_transform = np.array(part.transform * (cols, rows))
        assert np.abs(part.coordinates(cols, rows) - by_transform).max() < 1e-6 * transform.a


@given(st.floats(1, 100), st.floats(1e5, 9e5), st.floats(-1e6, 1e7))
def test_two_parts_of_one_place_share_lines_of_new_pixels(size, x, y):
    first = math.floor(x / size) * size
    assert lattice_origin(Affine(size, 0, first, 0, -size, math.ceil(y / size) * size)) == (
        -math.ceil(y / size),
        math.floor(x / size),
    )


def test_parts_cut_from_a_real_scene_have_its_global_pixels(shared_data, tmp_path):
    path = shared_data / "rstoolbox/sen2.tif"
    whole = choose_grid(Scene.open(path), 10)
    with rasterio.open(path) as dataset:
        window = rasterio.windows.Window(37, 51, 20, 10)
        profile = dataset.profile | {
            "width": 20,
            "height": 10,
            "transform": dataset.window_transform(window),
        }
        with rasterio.open(tmp_path / "part.tif", "w", **profile) as part:
            part.write(dataset.read(window=window))
    cut = choose_grid(Scene.open(tmp_path / "part.tif"), 10)
    assert cut.origin == (whole.origin[0] + 51, whole.origin[1] + 37)


# --- the grid itself


def test_a_grid_is_a_geobox(make):
    grid = choose_grid(Scene.open(make(RGB)), 10)
    assert isinstance(grid.geobox, GeoBox)
    assert grid.geobox.shape == grid.shape
    assert grid.geobox.affine == grid.transform
    assert grid.geobox.crs == UTM
    assert Grid(None, Affine.identity(), 2, 3, (0, 0), (0, 0)).geobox.crs is None


@pytest.mark.parametrize(
    ("crs", "transform", "area"),
    [
        (UTM, NORTH_UP, 100.0),
        ("EPSG:2263", Affine(10, 0, 1e6, 0, -10, 2e5), 9.2903),
        ("EPSG:3857", Affine(10, 0, 0, 0, -10, 8_399_738), None),
        ("EPSG:3857", Affine(1000, 0, 0, 0, -1000, 8_399_738), None),
        ("EPSG:4326", Affine(0.01, 0, 0, 0, -0.01, 61), None),
        ("EPSG:4326", Affine(0.1, 0, 0, 0, -0.1, 10), None),
    ],
)
def test_areas_of_pixels_are_those_on_the_ground(crs, transform, area):
    grid = Grid(CRS.from_user_input(crs), transform, 5, 4, lattice_origin(transform), (0, 0))
    turn = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    for row, found in enumerate(grid.row_areas()):
        corners = [transform * (2 + x, row + y) for x, y in ((0, 0), (0, 1), (1, 1), (1, 0))]
        lons, lats = zip(*(turn.transform(*corner) for corner in corners), strict=True)
        exact, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lons, lats)
        assert found == pytest.approx(area or exact, rel=1e-4)
        assert found == pytest.approx(exact, rel=0.01)


def test_everything_is_inside_without_an_area(make):
    grid = choose_grid(Scene.open(make(RGB)), 10)
    assert grid.inside(grid.window).all()
    around = grid.inside(Window(-2, -3, 44, 56))
    assert around.sum() == 40 * 50
    assert around[2:42, 3:53].all()


def test_grids_of_real_scenes_are_theirs(shared_data):
    folders = ("fair", "naip", "landsat", "zion", "rstoolbox")
    paths = [path for folder in folders for path in (shared_data / folder).glob("*.tif")]
    assert paths
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            grid = choose_grid(Scene.open(path), 1, gsd="native")
        with rasterio.open(path) as dataset:
            assert (grid.crs, grid.transform, grid.shape) == (
                dataset.crs,
                dataset.transform,
                dataset.shape,
            )
