"""The laws of simplified borders: one coverage, fair areas, small displacements, any order."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geocamss.classes import NODATA, ClassScheme
from geocamss.output import features as features_module
from geocamss.output.areas import PixelAreas
from geocamss.output.classmap import ClassMap
from geocamss.output.features import Shaper, in_batches
from geocamss.output.rings import Tracer
from geocamss.output.shaping import Shaping

from .maps import NORTH_UP, class_maps, landscape

SCHEME = ClassScheme.of([f"c{value}" for value in range(NODATA)])


def shaped(pixels, shaping, crs=None, transform=NORTH_UP, rows=10**6):
    """Polygons in pixels (y upward where the grid is north-up), class values, pixel counts."""
    height, width = pixels.shape
    source = ClassMap("", None, width, height, crs, transform)
    ground = PixelAreas(crs, transform, width, height)
    shaper = Shaper(source, SCHEME, shaping, ground.unit)
    tracer = Tracer(width, measures=3, shared_vertices=shaping.simplify > 0, hold=0)

    def regions():
        for row in range(0, height, rows):
            band = pixels[row : row + rows]
            if shaper.corners is not None:
                shaper.corners.feed(band)
            found = tracer.feed(
                band, lambda runs: np.stack([ground.of_runs(runs), *[runs.stop - runs.start] * 2])
            )
            if found is not None:
                yield found
        if shaper.corners is not None:
            shaper.corners.feed(np.full((1, width), NODATA, dtype=np.uint8))
        yield tracer.finish()

    batches = [shaper(batch) for batch in in_batches(regions())]
    shapes = np.concatenate([batch.geometry for batch in batches])
    fields = {
        name: np.concatenate([batch.fields[name] for batch in batches])
        for name in batches[0].fields
    }
    return shapes, fields


def assert_areas_kept(shapes, exact):
    """Each polygon's, to the hundredth."""
    before, after = shapely.area(exact), shapely.area(shapes)
    assert (np.abs(after - before) <= 0.01 * before + 1e-9).all()


def outlines(shapes):
    return shapely.union_all(shapely.boundary(shapes))


@settings(max_examples=60)
@given(pixels=class_maps(), tolerance=st.sampled_from([0.5, 1.0, 2.0, 5.0, 100.0]))
def test_simplified_polygons_are_a_valid_coverage_of_fair_areas(pixels, tolerance):
    exact, _ = shaped(pixels, Shaping())
    shapes, fields = shaped(pixels, Shaping(simplify=tolerance))
    assert len(shapes) == len(exact)
    if not len(shapes):
        return
    assert shapely.is_valid(shapes).all(), shapely.is_valid_reason(shapes)
    assert shapely.coverage_is_valid(shapes)
    assert shapely.is_ccw(shapely.get_exterior_ring(shapes)).all()
    # No gaps: what all cover together has the area of their sum.
    union = shapely.union_all(shapes)
    assert shapely.area(union) == pytest.approx(shapely.area(shapes).sum(), rel=1e-9)
    assert_areas_kept(shapes, exact)
    pixel_areas = fields["area_m2"] * 100.0
    np.testing.assert_allclose(pixel_areas, shapely.area(shapes), rtol=1e-6)
    assert shapely.get_num_interior_rings(shapes).sum() == (
        shapely.get_num_interior_rings(exact).sum()
    )


@settings(max_examples=25)
@given(
    pixels=class_maps(24),
    rows=st.integers(1, 9),
    batch=st.integers(1, 40),
    rings=st.integers(1, 100),
)
def test_neither_bands_nor_batches_change_a_border(pixels, rows, batch, rings):
    whole, fields = shaped(pixels, Shaping(simplify=2.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_module, "BATCH_VERTICES", batch)
        patch.setattr(features_module, "_RING_VERTICES", rings)
        cut, other = shaped(pixels, Shaping(simplify=2.0), rows=rows)
    assert [shape.wkb for shape in whole] == [shape.wkb for shape in cut]
    np.testing.assert_array_equal(fields["perimeter_m"], other["perimeter_m"])


@pytest.mark.parametrize("tolerance", [0.8, 1.5, 4.0])
def test_no_border_moves_by_more_than_the_tolerance(tolerance):
    pixels = landscape(60, 70, smooth=4.0)
    exact, _ = shaped(pixels, Shaping())
    shapes, _ = shaped(pixels, Shaping(simplify=tolerance))
    before, after = outlines(exact), outlines(shapes)
    assert shapely.hausdorff_distance(before, after) <= tolerance * 10.0 + 1e-6
    fewer = shapely.get_num_coordinates(shapes).sum() / shapely.get_num_coordinates(exact).sum()
    assert fewer < 0.75


def test_classes_keep_their_areas_to_the_thousandth():
    pixels = landscape(200, 220, smooth=3.0)
    shapes, fields = shaped(pixels, Shaping(simplify=3.0))
    for value in range(5):
        area = shapely.area(shapes[fields["class"] == value]).sum() / 100.0
        assert area == pytest.approx((pixels == value).sum(), rel=0.001)


def spiral(side: int, width: float) -> np.ndarray:
    """One arm and the gap between its turns: two polygons, and one border that is nearly all."""
    y, x = np.mgrid[:side, :side] - side / 2
    turn = np.arctan2(y, x) / (2 * np.pi)
    return ((np.hypot(x, y) / (2 * width) - turn) % 1 < 0.5).astype(np.uint8)


def test_a_border_of_a_hundred_thousand_vertices_is_simplified_like_any_other():
    """The polygons wind around each other: work that grew with the square would not end."""
    pixels = spiral(720, 3.0)
    exact, _ = shaped(pixels, Shaping())
    assert shapely.get_num_coordinates(exact).max() > 100_000
    for tolerance in (2.0, 20.0):
        shapes, _ = shaped(pixels, Shaping(simplify=tolerance))
        assert shapely.get_num_coordinates(shapes).max() < 5_000
        assert shapely.is_valid(shapes).all()
        assert shapely.coverage_is_valid(shapes)
        assert_areas_kept(shapes, exact)


def test_the_more_a_border_may_move_the_fewer_vertices_it_keeps():
    pixels = (landscape(300, 300, smooth=20.0) > 1).astype(np.uint8)
    pixels ^= landscape(300, 300, seed=5, smooth=5.0) == 0
    counts = [
        shapely.get_num_coordinates(shaped(pixels, Shaping(simplify=tolerance))[0]).sum()
        for tolerance in (0.5, 1.0, 2.0, 5.0, 20.0)
    ]
    assert all(np.diff(counts) < 0)
    assert counts[3] < 0.85 * counts[1]


def test_round_islands_keep_their_areas():
    """They can hardly but shrink when vertices go; all together must not show it."""
    y, x = np.mgrid[:24, :24] - 11.5
    rng = np.random.default_rng(1)
    islands = [
        [np.hypot(y - dy, x - dx) < radius for dy, dx, radius in row]
        for row in rng.uniform((-1, -1, 2), (1, 1, 9), (12, 12, 3))
    ]
    pixels = np.block(islands).astype(np.uint8)
    shapes, fields = shaped(pixels, Shaping(simplify=5.0))
    area = shapely.area(shapes[fields["class"] == 1]).sum() / 100.0
    assert area == pytest.approx(pixels.sum(), rel=0.01)


def discs(side: int = 140) -> np.ndarray:
    """Many small ones, as trees or tanks are."""
    y, x = np.mgrid[:side, :side] % 9 - 4
    return (np.hypot(y, x) <= 2.5).astype(np.uint8)


def rings(side: int = 140) -> np.ndarray:
    """Three classes in turns around a center, hardly two pixels wide."""
    y, x = np.mgrid[:side, :side] - side // 2
    return (np.hypot(y, x) // 1.7 % 3).astype(np.uint8)


def houses(side: int = 500) -> np.ndarray:
    """Rectangles of 5 to 14 pixels, turned in any way."""
    rng = np.random.default_rng(2)
    pixels = np.zeros((side, side), np.uint8)
    y, x = np.mgrid[-20:20, -20:20]
    for row in range(20, side - 20, 24):
        for column in range(20, side - 20, 24):
            turn = rng.uniform(0, np.pi / 2)
            across = x * np.cos(turn) + y * np.sin(turn)
            along = y * np.cos(turn) - x * np.sin(turn)
            house = (abs(across) <= rng.uniform(2.5, 7)) & (abs(along) <= rng.uniform(2.5, 7))
            pixels[row - 20 : row + 20, column - 20 : column + 20] |= house
    return pixels


@pytest.mark.parametrize("pattern", [discs, rings, houses])
@pytest.mark.parametrize("tolerance", [0.8, 1.5, 5.0])
def test_small_things_keep_their_areas(pattern, tolerance):
    pixels = pattern()
    exact, _ = shaped(pixels, Shaping())
    shapes, _ = shaped(pixels, Shaping(simplify=tolerance))
    assert shapely.coverage_is_valid(shapes)
    assert_areas_kept(shapes, exact)
    fewer = shapely.get_num_coordinates(shapes).sum() / shapely.get_num_coordinates(exact).sum()
    assert fewer < 1


def test_a_staircase_becomes_a_line():
    pixels = np.tri(60, dtype=np.uint8)
    shapes, _ = shaped(pixels, Shaping(simplify=1.0))
    assert shapely.coverage_is_valid(shapes)
    assert shapely.get_num_coordinates(shapes).max() < 12


def test_straight_edges_and_corners_of_the_map_stay():
    pixels = np.zeros((30, 40), dtype=np.uint8)
    pixels[8:20, 10:30] = 1
    exact, _ = shaped(pixels, Shaping())
    shapes, _ = shaped(pixels, Shaping(simplify=50.0))
    assert shapely.equals(exact, shapes).all()


@pytest.mark.parametrize(
    ("crs", "transform", "pixel"),
    [
        ("EPSG:4326", (2e-4, 0, 10, 0, -1e-4, 60), 11.1),
        ("EPSG:2263", (30, 0, 1e6, 0, -30, 2e5), 9.144),
        ("EPSG:3857", (20, 0, 1e6, 0, -20, 8.4e6), 10.0),
    ],
)
def test_the_tolerance_is_in_meters_on_the_ground(crs, transform, pixel):
    """In degrees, feet and stretched meters, as with square pixels of as many meters."""
    from affine import Affine

    pixels = landscape(60, 70, smooth=4.0)
    crs = CRS.from_string(crs)
    counts = [
        shapely.get_num_coordinates(shaped(pixels, Shaping(simplify=s * pixel), crs, t)[0]).sum()
        for s in (0.6, 0.9, 3.0)
        for t in (Affine(*transform),)
    ]
    plain = [
        shapely.get_num_coordinates(shaped(pixels, Shaping(simplify=s))[0]).sum()
        for s in (0.6, 0.9, 3.0)
    ]
    np.testing.assert_allclose(counts, plain, rtol=0.03)
    shapes, fields = shaped(pixels, Shaping(simplify=pixel), crs, Affine(*transform))
    assert shapely.coverage_is_valid(shapes)
    ground = PixelAreas(crs, Affine(*transform), 70, 60)
    assert fields["area_m2"].sum() > 0
    assert ground.unit > 0


def test_the_tolerance_is_in_meters_all_along_a_border():
    """From near a pole, where a step of longitude is short, to the equator, where it is long."""
    from affine import Affine

    row, column = np.mgrid[:170, :120]
    pixels = (column > 60 + 25 * np.sin(row / 9)).astype(np.uint8)
    transform, tolerance = Affine(0.5, 0, 0, 0, -0.5, 85), 40e3
    exact, _ = shaped(pixels, Shaping(), CRS.from_epsg(4326), transform)
    shapes, _ = shaped(pixels, Shaping(simplify=tolerance), CRS.from_epsg(4326), transform)
    left = shapely.get_coordinates(shapes)
    assert len(left) < len(shapely.get_coordinates(exact))
    after = outlines(shapes)
    for x, y in shapely.get_coordinates(exact):
        shrink = np.array([np.cos(np.radians(y)), 1.0])
        near = shapely.transform(after, lambda at, shrink=shrink: at * shrink)
        meters = shapely.distance(near, shapely.Point((x, y) * shrink)) * 111_195
        assert meters <= 1.01 * tolerance


@pytest.mark.parametrize("name", ["zion/nlcd.tif", "fair/kampala_aoi0_z20_label.tif"])
def test_real_maps_stay_a_coverage(shared_data, name):
    import rasterio

    with rasterio.open(shared_data / name) as source:
        pixels = source.read(1)[:200, :200]
    shapes, fields = shaped(pixels, Shaping(simplify=1.5))
    assert shapely.coverage_is_valid(shapes)
    for value in np.unique(fields["class"]):
        area = shapely.area(shapes[fields["class"] == value]).sum() / 100.0
        assert area == pytest.approx((pixels == value).sum(), rel=0.001)
