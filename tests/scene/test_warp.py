from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import binary_erosion

from geocamss.scene.grid import Grid, choose_grid, lattice_origin
from geocamss.scene.ground import transformer
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.warp import Warp, bilinear, box_mean, choose_overview, samples, scene_steps
from geocamss.scene.window import Window
from tests.scene.conftest import UTM, write
from tests.scene.test_scene import rpc

NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def waves(height, width, count=3, dtype="uint16"):
    """Smooth pictures, whose values between pixels are known well."""
    rows, cols = np.mgrid[:height, :width]
    return np.stack(
        [1000 + 100 * k + 400 * np.sin(cols / 9 + k) * np.cos(rows / 7) for k in range(count)]
    ).astype(dtype)


def read(path, model_gsd=10, window=None, **options):
    """Values, validity and grid of a scene."""
    scene = Scene.open(path)
    grid = choose_grid(scene, model_gsd, **options)
    assert grid.aligned is None
    with SceneReader(scene, scene.bands, grid, [0] * len(scene.bands)) as reader:
        return *reader.read(window or grid.window), grid


def by_gdal(path, grid, resampling=Resampling.bilinear):
    """The same by GDAL's warper, and where it has values."""
    with rasterio.open(path) as dataset:
        bands = rasterio.band(dataset, dataset.indexes)
        values = np.zeros((dataset.count, *grid.shape), dataset.dtypes[0])
        covered = np.zeros(grid.shape, np.uint8)
        place = {"dst_transform": grid.transform, "dst_crs": grid.crs}
        reproject(bands, values, resampling=resampling, **place)
        reproject(
            np.full(dataset.shape, 255, np.uint8),
            covered,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            resampling=Resampling.nearest,
            **place,
        )
    return values, covered > 0


PLACES = {
    "finer": (NORTH_UP, {"gsd": 4.0}),
    "shifted": (Affine(10, 0, 500_003, 0, -10, 5_000_007), {"gsd": 10.3}),
    "rotated": (NORTH_UP * Affine.rotation(30), {}),
    "upside down": (NORTH_UP * Affine.rotation(180.001), {}),
    "sheared": (Affine(10, 4, 500_000, 1, -10, 5_000_000), {}),
    "another zone": (NORTH_UP, {"crs": "EPSG:32632"}),
    "equal area": (NORTH_UP, {"crs": "EPSG:3035"}),
    "degrees": (NORTH_UP, {"crs": "EPSG:4326"}),
    "web mercator": (NORTH_UP, {"crs": "EPSG:3857"}),
}


@pytest.mark.parametrize(("transform", "options"), PLACES.values(), ids=PLACES)
def test_values_are_those_of_gdals_warper(make, transform, options):
    path = make(waves(120, 150), transform=transform)
    found, valid, grid = read(path, **options)
    expected, covered = by_gdal(path, grid)
    assert (valid == covered).mean() > 0.999
    both = valid & covered
    assert both.mean() > 0.3
    # GDAL is off by up to an eighth of a pixel, where the picture changes by 70 a pixel at most
    assert np.abs(found.astype(float) - expected)[:, both].max() < 12
    assert np.abs(found.astype(float) - expected)[:, both].mean() < 1


@pytest.mark.parametrize("factor", [2, 2.5, 3, 5, 7.3])
def test_coarser_values_are_means(make, factor):
    path = make(waves(200, 300))
    found, valid, grid = read(path, gsd=10.0 * factor)
    expected, _ = by_gdal(path, grid, Resampling.average)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert valid[2:-2, 2:-2].all()
    assert np.abs(found[inner].astype(float) - expected[inner]).mean() < 3


def test_coarser_values_of_an_exact_factor_are_exact_means(make):
    values = np.random.default_rng(0).integers(0, 255, (3, 60, 90)).astype(np.uint8)
    found, valid, grid = read(make(values), gsd=30.0)
    # 5,000,000 is no multiple of 30, so lines differ: an offset of 10 m in y, and of 10 m in x
    assert grid.shape == (21, 31)
    means = values.reshape(3, 20, 3, 30, 3).mean(axis=(2, 4))
    assert valid[1:-1, 1:-1].all()
    assert abs(found[:, 1:-1, 1:-1].mean() - means.mean()) < 2

    path = make(values, "b.tif", transform=Affine(10, 0, 500_010, 0, -10, 5_000_010))
    found, valid, grid = read(path, gsd=30.0)
    assert grid.shape == (20, 30)
    assert valid.all()
    assert (found == np.rint(means)).all()


@pytest.mark.parametrize(
    "flip",
    [
        Affine(10, 0, 0, 0, 10, -400),
        Affine(-10, 0, 500, 0, -10, 0),
        Affine(-10, 0, 500, 0, 10, -400),
    ],
    ids=["south-up", "west-left", "both"],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64"])
def test_a_flipped_scene_comes_out_unchanged_the_right_side_up(make, flip, dtype):
    values = np.random.default_rng(0).integers(0, 200, (2, 40, 50)).astype(dtype)
    place = Affine.translation(500_000, 5_000_000) * flip
    found, valid, grid = read(make(values, transform=place))
    rows = slice(None, None, -1 if place.e > 0 else 1)
    cols = slice(None, None, -1 if place.a < 0 else 1)
    assert (found == values[:, rows, cols]).all()
    assert valid.all()
    assert grid.transform == NORTH_UP


@pytest.mark.parametrize("angle", [90, 270])
def test_a_quarter_turn_comes_out_unchanged(make, angle):
    values = np.random.default_rng(0).integers(0, 200, (1, 40, 50)).astype(np.uint8)
    found, valid, _ = read(make(values, transform=NORTH_UP * Affine.rotation(angle)))
    assert valid.all()
    assert (found[0] == np.rot90(values[0], -angle // 90)).all()


# --- control points and polynomials


def test_control_points_give_what_their_transform_gives(make):
    turned = NORTH_UP * Affine.rotation(20)
    values = waves(80, 90)
    corners = ((0, 0), (90, 0), (0, 80), (90, 80))
    points = [GroundControlPoint(row, col, *(turned * (col, row))) for col, row in corners]
    by_points, valid, grid = read(make(values, "a.tif", crs=None, gcps=(points, UTM)))
    by_transform, also, same = read(make(values, "b.tif", transform=turned))
    assert grid == same
    assert (valid == also).mean() > 0.999
    both = valid & also
    assert np.abs(by_points.astype(int) - by_transform)[:, both].max() <= 1


def test_polynomials_give_what_their_transform_gives(make):
    values = waves(100, 100)
    by_rpc, valid, grid = read(make(values, "a.tif", crs=None, rpcs=rpc()), gsd=1000.0)
    # the same looking down, on 0.01 degrees a pixel; its polynomials count pixels' centers
    place = Affine(0.01, 0, 15 - 0.505, 0, -0.01, 45 + 0.505)
    scene = Scene.open(make(values, "b.tif", crs="EPSG:4326", transform=place))
    with SceneReader(scene, scene.bands, grid, [0, 0, 0]) as reader:
        expected, also = reader.read(grid.window)
    both = valid & also
    assert both.mean() > 0.9
    assert (valid == also).mean() > 0.99
    assert np.abs(by_rpc.astype(int) - expected)[:, both].mean() < 2


# --- validity


@pytest.mark.parametrize(("transform", "options"), PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("kind", ["nodata", "nan", "alpha", "mask", "coarse"])
def test_nothing_invalid_has_a_share_in_what_is_valid(make, transform, options, kind):
    holes = np.random.default_rng(1).random((70, 80)) < 0.3
    holes[20:40, 30:60] = True
    dtype = "float32" if kind == "nan" else "uint8"
    values = np.full((3, 70, 80), 90, dtype)
    profile = {"transform": transform}
    if kind in ("nodata", "coarse"):
        values[:, holes] = 255
        profile["nodata"] = 255
    elif kind == "nan":
        values[:, holes] = np.nan
    elif kind == "alpha":
        values[:, holes] = 7
        values = np.concatenate([values, np.where(holes, 0, 255).astype("uint8")[None]])
        profile |= {"photometric": "RGB", "alpha": "YES"}
    else:
        values[:, holes] = 7
        profile["mask"] = ~holes
    if kind == "coarse":
        options = {**options, "gsd": 35.0}
    found, valid, _ = read(make(values, **profile), **options)
    assert 0.2 < valid.mean() < 0.95
    assert found[:, valid] == pytest.approx(90, abs=1e-4)
    assert (found[:, ~valid] == 0).all()


def test_bands_are_valid_on_their_own(make):
    values = np.full((2, 40, 50), 500, np.uint16)
    values[0, :, :25] = 0
    values[1, :20] = 0
    found, valid, _ = read(make(values, nodata=0), gsd=5.0)
    assert set(np.unique(found)) == {0, 500}
    assert valid.mean() == pytest.approx(0.75, abs=0.02)


def test_a_palette_is_warped_by_color(make):
    index = np.zeros((1, 40, 50), np.uint8)
    index[:, :, 25:] = 200
    table = {0: (0, 0, 0, 255), 200: (100, 200, 50, 255), 100: (255, 0, 0, 255)}
    found, valid, _ = read(make(index, colormap=table), gsd=4.0)
    assert valid.all()
    assert found[0].max() == 100  # between the two colors, never the one between their indices
    assert (np.abs(found[1].astype(int) - 2 * found[0]) <= 1).all()


def test_values_stay_in_the_range_of_their_type(make):
    for dtype in ("uint8", "int8", "uint16", "int32", "uint32", "int64", "float32"):
        kind = np.dtype(dtype)
        top = np.iinfo(kind).max if kind.kind in "iu" else np.finfo(kind).max / 4
        low = np.iinfo(kind).min if kind.kind in "iu" else -top
        values = np.where(np.indices((1, 20, 20)).sum(0) % 2, top, low).astype(kind)
        found, valid, _ = read(make(values, f"{dtype}.tif"), gsd=4.0)
        assert valid.all()
        assert found.dtype == kind
        assert found.max() > found.min()
        assert np.isfinite(found.astype(float)).all()


# --- the place of a pixel alone decides


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A rotated scene with holes, its grid in another zone, and all of it, read at once."""
    values = waves(150, 180)
    values[:, 40:60, 70:90] = 0
    path = write(
        tmp_path_factory.mktemp("warp") / "scene.tif",
        values,
        crs=UTM,
        transform=NORTH_UP * Affine.rotation(17),
        nodata=0,
    )
    scene = Scene.open(path)
    grid = choose_grid(scene, 6, crs="EPSG:32632")
    with SceneReader(scene, scene.bands, grid, [0, 0, 0]) as reader:
        window = Window(-100, -100, grid.height + 200, grid.width + 200)
        return scene, grid, reader.read(window)


@given(st.integers(-90, 400), st.integers(-90, 400), st.integers(1, 150), st.integers(1, 150))
def test_the_window_makes_no_difference(turned, row, col, height, width):
    scene, grid, (whole, valid) = turned
    window = Window(row, col, height, width) & Window(-100, -100, grid.height, grid.width)
    with SceneReader(scene, scene.bands, grid, [0, 0, 0]) as reader:
        found, usable = reader.read(window)
    rows, cols = window.within(Window(-100, -100, *valid.shape))
    assert (found == whole[:, rows, cols]).all()
    assert (usable == valid[rows, cols]).all()


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_part_of_a_grid_makes_no_difference(turned, row, col):
    scene, grid, (whole, valid) = turned
    part = grid.part(Window(row, col, 50, 60))
    with SceneReader(scene, scene.bands, part, [0, 0, 0]) as reader:
        found, usable = reader.read(Window(-5, -5, 40, 40))
    rows, cols = slice(row + 95, row + 135), slice(col + 95, col + 135)
    assert (found == whole[:, rows, cols]).all()
    assert (usable == valid[rows, cols]).all()


@pytest.mark.parametrize("options", [{"gsd": 25.0}, {"gsd": 4.0}, {"crs": "EPSG:3035"}])
def test_a_scene_cut_in_two_is_the_whole(make, options):
    values = waves(200, 200)
    whole, valid, grid = read(make(values), **options)
    other = Affine(10, 0, 501_000, 0, -10, 5_000_000)
    for name, part, place in (
        ("left", values[:, :, :100], NORTH_UP),
        ("right", values[:, :, 100:], other),
    ):
        found, usable, half = read(make(part, f"{name}.tif", transform=place), **options)
        row, col = half.origin[0] - grid.origin[0], half.origin[1] - grid.origin[1]
        window = Window(row, col, *half.shape) & grid.window
        rows, cols = window.within(grid.window)
        here = window.shifted(-row, -col).within(half.window)
        inner = usable[here] & valid[rows, cols]
        xs, ys = grid.coordinates(*np.meshgrid(*(np.r_[s] + 0.5 for s in (cols, rows))))
        xs, _ = transformer(grid.crs, CRS.from_string(UTM)).transform(xs, ys)
        away = np.abs(xs - 501_000) > 50
        differs = (found[:, *here] != whole[:, rows, cols]).any(axis=0) & inner & away
        assert differs.mean() < 1e-4


@pytest.mark.parametrize("factor", [7, 10, 33])
@pytest.mark.parametrize("cut", [203, 204])
@pytest.mark.parametrize(
    "turn",
    [Affine.identity(), Affine.scale(1, -1), Affine.rotation(90), Affine.rotation(17)],
    ids=["north up", "south up", "quarter turn", "rotated"],
)
def test_a_coarse_map_does_not_depend_on_where_its_file_was_cut(make, factor, cut, turn):
    values = np.random.default_rng(0).integers(0, 255, (1, 400, 600)).astype(np.uint8)
    place = NORTH_UP @ turn
    whole, valid, grid = read(make(values, transform=place), gsd=10.0 * factor)
    there = place * Affine.translation(cut, cut - 100)
    part = make(values[:, cut - 100 :, cut:], "part.tif", transform=there)
    found, usable, half = read(part, gsd=10.0 * factor)
    row, col = half.origin[0] - grid.origin[0], half.origin[1] - grid.origin[1]
    shared = slice(row, row + half.height), slice(col, col + half.width)
    inner = binary_erosion(usable & valid[shared])
    assert inner.mean() > 0.2
    apart = np.abs(found[0].astype(int) - whole[0][shared])[inner]
    assert apart.max() <= 1
    assert apart.mean() < 0.02  # halves are rounded up or down by noise in the last digits


def test_positions_between_nodes_are_exact_enough(make):
    path = make(np.zeros((1, 2000, 2000), np.uint8))
    scene = Scene.open(path)
    for crs in ("EPSG:32632", "EPSG:3857", "EPSG:4326", "EPSG:3035", "EPSG:3413"):
        grid = choose_grid(scene, 10, crs=crs)
        warp = Warp(scene, scene.bands, grid, np.dtype("uint8"))
        cols, rows = warp._positions(Window(0, 0, 400, 500))
        exact = warp._exact(*np.meshgrid(np.arange(500) + 0.5, np.arange(400) + 0.5))
        warp.close()
        assert max(np.abs(cols - exact[0]).max(), np.abs(rows - exact[1]).max()) < 0.001


def test_a_scene_in_degrees_is_found_on_both_sides_of_the_antimeridian(make):
    values = waves(60, 80)
    place = Affine(0.001, 0, 179.96, 0, -0.001, 10.0)
    path = make(values, crs="EPSG:4326", transform=place)
    _, valid, grid = read(path, gsd=50.0)
    assert valid.mean() > 0.9
    place = Affine(0.001, 0, 179.96 - 360, 0, -0.001, 10.0)
    _, also, same = read(make(values, "b.tif", crs="EPSG:4326", transform=place), gsd=50.0)
    assert same == grid
    assert (also == valid).all()


def test_a_picture_of_the_globe_has_no_seam_at_the_antimeridian(make):
    """Pixels are found on both of its sides, and none is interpolated through the whole picture."""
    step = 0.005
    values = np.zeros((1, 400, 72_000), np.uint8)
    values[:, :, :4000] = values[:, :, -4000:] = 200  # within 20 degrees of 180
    place = Affine(step, 0, -180, 0, -step, 81)
    scene = Scene.open(make(values, crs="EPSG:4326", transform=place))
    grid = choose_grid(scene, 150.0, crs="EPSG:3413")
    x, y = transformer(scene.crs, grid.crs).transform(180.0, 80.0)
    col, row = ~grid.transform * (x, y)
    window = Window(int(row) - 150, int(col) - 150, 300, 300)
    with SceneReader(scene, scene.bands, grid, [0]) as reader:
        found, valid = reader.read(window)
    assert (found[0][valid] == 200).all()
    lost = ~valid
    assert lost.mean() < 0.05  # half a pixel of the scene, on both sides
    cols, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(300) + 0.5)
    xs, ys = grid.coordinates(cols + window.col, rows + window.row)
    lons, _ = transformer(grid.crs, scene.crs).transform(xs[lost], ys[lost])
    assert (180 - np.abs(lons) < step).all()


def test_the_edge_of_the_earth_is_reached(make):
    # a geostationary picture: its corners lie in space
    size = 100_000
    crs = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +datum=WGS84"
    place = Affine(size, 0, -55 * size, 0, -size, 55 * size)
    path = make(waves(110, 110), crs=crs, transform=place)
    found, valid, _ = read(path, gsd=150_000.0, crs="ESRI:54009")
    assert 0.2 < valid.mean() < 0.95
    assert found[:, valid].min() > 500


# --- the parts


def test_boxes_are_averaged_over_what_is_valid():
    values = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    means, valid = box_mean(values, None, (2, 3))
    assert means.tolist() == [[[4, 7], [16, 19]]]
    assert valid is None
    usable = np.ones((1, 4, 6), bool)
    usable[0, 0, :3] = False  # half of the first box
    usable[0, :2, 4:] = False  # more than half of the second
    means, valid = box_mean(values, usable, (2, 3))
    assert means[0, 0, 0] == 7
    assert valid.tolist() == [[[True, False], [True, True]]]


@given(st.floats(0, 3.99), st.floats(0, 4.99))
def test_a_plane_is_interpolated_exactly(row, col):
    cells = (10 * np.arange(5)[:, None] + np.arange(6)[None]).astype(np.float64)[None]
    values, valid = bilinear(cells, None, np.array([[col]]), np.array([[row]]))
    assert values[0, 0, 0] == pytest.approx(10 * row + col)
    assert valid is None


def test_positions_beyond_the_outer_centers_are_not_valid():
    cells = np.ones((1, 3, 3), np.float32)
    cols = np.array([[0.0, -0.1, 2.0, 1.9, math.nan, math.inf]])
    _, valid = bilinear(cells, None, cols, np.full_like(cols, 0.5))
    assert valid[0, 0].tolist() == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("factor", "found"),
    [
        (0.3, (1, 1)),
        (1.4, (1, 1)),
        (2, (2, 1)),
        (3, (3, 1)),
        (8, (4, 2)),
        (12, (4, 3)),
        (33, (4, 8)),
    ],
)
def test_samples_and_cells_make_up_the_factor(factor, found):
    assert samples(factor) == found


@pytest.mark.parametrize(
    ("wanted", "level"),
    [(1, None), (3.9, None), (4, 0), (7.9, 0), (8, 1), (1000, 2), (math.nan, None)],
)
def test_an_overview_has_twice_the_wanted_detail(wanted, level):
    assert choose_overview((2, 4, 8), wanted) == level
    assert choose_overview((), wanted) is None


def test_overviews_are_read_where_they_serve(make):
    values = waves(512, 512)
    path = make(values, tiled=True, blockxsize=64, blockysize=64)
    plain, _, grid = read(path, gsd=85.0)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.average)
    scene = Scene.open(path)
    assert scene.overviews == (2, 4)
    assert choose_overview(scene.overviews, min(scene_steps(scene, grid))) == 1
    reduced, valid, _ = read(path, gsd=85.0)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert valid[inner[1:]].all()
    assert np.abs(reduced[inner].astype(int) - plain[inner]).mean() < 8


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("when", ["in a file beside", "before the mask", "after the mask"])
def test_a_mask_holds_whatever_overviews_have_of_it(make, internal, when):
    values = np.full((3, 512, 512), 100, np.uint8)
    mask = np.ones((512, 512), bool)
    mask[:, :250] = False
    values[:, ~mask] = 0
    path = make(values)
    beside = "YES" if when == "in a file beside" else "NO"
    steps = ["mask", "overviews"] if when != "before the mask" else ["overviews", "mask"]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal, TIFF_USE_OVR=beside):
        for step in steps:
            with rasterio.open(path, "r+") as dataset:
                if step == "mask":
                    dataset.write_mask(mask)
                else:
                    dataset.build_overviews([2, 4], Resampling.average)
    found, valid, grid = read(path, gsd=80.0)
    expected = grid.coordinates(np.arange(grid.width) + 0.5, 0)[0] > 500_000 + 2500
    assert (valid[1:-1, 1:-1] == expected[1:-1]).all()
    assert (found[:, valid] == 100).all()


def test_large_reductions_need_little_memory(make):
    path = make(np.full((3, 4000, 4000), 9, np.uint8), tiled=True)
    tracemalloc.start()
    found, valid, _ = read(path, gsd=1000.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found[:, valid] == 9).all()
    assert peak < 250e6  # all at once would take 600 MB


def test_steps_of_a_grid_are_counted_in_pixels_of_the_scene(make):
    scene = Scene.open(make(waves(40, 50), transform=Affine(10, 0, 500_000, 0, -5, 5_000_000)))
    transform = Affine(30, 0, 0, 0, -30, 6_000_000)
    grid = Grid(CRS.from_epsg(32633), transform, 9, 9, lattice_origin(transform), None)
    assert scene_steps(scene, grid) == (3, 6)
