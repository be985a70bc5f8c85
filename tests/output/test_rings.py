"""The laws of outlines, against GDAL's polygonizer, SciPy's labels and GEOS."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio import features
from scipy import ndimage

from geocamss.classes import NODATA
from geocamss.output.rings import Regions, Tracer

from .maps import class_maps, landscape

SCREEN = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def trace(pixels, heights=None, **options) -> list[Regions]:
    """Feed a map in bands of the given heights, then of one row."""
    tracer = Tracer(pixels.shape[1], **options)
    given_out, row = [], 0
    for height in [*(heights or [len(pixels)]), *[1] * len(pixels)]:
        if row < len(pixels):
            given_out.append(tracer.feed(pixels[row : row + height]))
            row += height
    return [regions for regions in (*given_out, tracer.finish()) if regions is not None]


def shapes_of(regions: list[Regions]) -> np.ndarray:
    """Polygons with y upward."""
    return np.concatenate(
        [
            shapely.from_ragged_array(
                shapely.GeometryType.POLYGON,
                np.stack((r.columns, -r.rows), axis=1).astype(float),
                (r.rings, r.polygons),
            )
            for r in regions
        ]
    )


def values_of(regions: list[Regions]) -> np.ndarray:
    return np.concatenate([r.values for r in regions])


def burned(shapes, values, shape) -> np.ndarray:
    if not len(shapes):
        return np.full(shape, NODATA, dtype=np.uint8)
    return features.rasterize(
        zip(shapes, values.tolist(), strict=True),
        out_shape=shape,
        fill=NODATA,
        transform=SCREEN,
        dtype=np.uint8,
    )


@given(class_maps())
def test_rasterized_polygons_are_the_map(pixels):
    regions = trace(pixels)
    shapes, values = shapes_of(regions), values_of(regions)
    assert np.array_equal(burned(shapes, values, pixels.shape), pixels)


@given(class_maps())
def test_polygons_are_valid_and_shells_go_counterclockwise(pixels):
    shapes = shapes_of(trace(pixels))
    assert shapely.is_valid(shapes).all(), shapely.is_valid_reason(shapes)
    assert shapely.is_ccw(shapely.get_exterior_ring(shapes)).all()
    holes = [ring for shape in shapes for ring in shape.interiors]
    assert not shapely.is_ccw(np.array(holes, dtype=object)).any()


@given(class_maps())
def test_there_is_one_polygon_for_each_region_that_scipy_labels(pixels):
    regions = trace(pixels)
    expected = sum(ndimage.label(pixels == v)[1] for v in np.unique(pixels) if v != NODATA)
    assert len(values_of(regions)) == expected
    pixel_counts = np.concatenate([r.pixels for r in regions])
    assert np.array_equal(shapely.area(shapes_of(regions)), pixel_counts)


@given(class_maps())
def test_rings_are_those_of_gdal(pixels):
    """Where a region touches itself at a corner, GDAL has another, invalid, way around."""
    ours = shapes_of(trace(pixels))
    theirs = np.array(
        [
            shapely.geometry.shape(shape)
            for shape, _ in features.shapes(
                pixels, mask=pixels != NODATA, connectivity=4, transform=SCREEN
            )
        ],
        dtype=object,
    )
    sound = theirs[shapely.is_valid(theirs)]
    known = {shape.wkb for shape in shapely.normalize(ours)}
    assert all(shape.wkb in known for shape in shapely.normalize(sound))


@given(class_maps(), st.lists(st.integers(1, 6), max_size=8), st.integers(0, 30), st.booleans())
def test_bands_change_nothing_not_even_the_order(pixels, heights, hold, shared):
    whole = trace(pixels, shared_vertices=shared)
    cut = trace(pixels, heights, hold=hold, shared_vertices=shared)
    assert np.array_equal(values_of(whole), values_of(cut))
    assert [s.wkb for s in shapes_of(whole)] == [s.wkb for s in shapes_of(cut)]


@given(class_maps())
def test_polygons_stand_in_the_order_of_their_last_pixels(pixels):
    last = []
    for value in np.setdiff1d(pixels, [NODATA]):
        labels, count = ndimage.label(pixels == value)
        last += [(np.flatnonzero(labels == k + 1)[-1], value) for k in range(count)]
    assert [value for _, value in sorted(last)] == values_of(trace(pixels)).tolist()


@given(class_maps())
def test_shared_vertices_make_a_valid_coverage_of_the_same_polygons(pixels):
    exact = shapes_of(trace(pixels))
    shared = shapes_of(trace(pixels, shared_vertices=True))
    assert len(shared) == 0 or shapely.coverage_is_valid(shared)
    simplified = shapely.simplify(shared, 0, preserve_topology=True)
    assert np.array_equal(shapely.area(exact), shapely.area(shared))
    assert shapely.equals(simplified, exact).all()


def test_corners_only_no_vertex_lies_on_a_straight_edge():
    coords, ring = shapely.get_coordinates(
        shapely.get_exterior_ring(shapes_of(trace(landscape(60, 70)))), return_index=True
    )
    steps = np.diff(coords, axis=0)
    within = ring[2:] == ring[:-2]
    turns = (steps[:-1, 0] != 0) != (steps[1:, 0] != 0)
    assert turns[within].all()


def test_measures_are_sums_over_the_pixels_of_a_region():
    pixels = landscape(50, 40)
    weights = np.arange(pixels.size).reshape(pixels.shape)
    tracer = Tracer(40, measures=2)

    def measure(runs):
        cells = [
            weights[row, start:stop].sum()
            for row, start, stop in zip(runs.row, runs.start, runs.stop, strict=True)
        ]
        return np.stack((np.array(cells), runs.stop - runs.start))

    found = [tracer.feed(pixels[row : row + 7], measure) for row in range(0, 50, 7)]
    found = [r for r in (*found, tracer.finish()) if r is not None]
    expected = {}
    for value in range(5):
        labels, count = ndimage.label(pixels == value)
        for k in range(1, count + 1):
            inside = labels == k
            expected[np.flatnonzero(inside)[-1]] = (weights[inside].sum(), inside.sum())
    ours = np.concatenate([r.measures for r in found], axis=1).T
    assert [tuple(row) for row in ours.tolist()] == [expected[key] for key in sorted(expected)]


def test_a_region_that_touches_itself_only_far_below_is_valid():
    """Two arms meet at a corner in the first rows, and turn out to be one region in the last."""
    pixels = np.full((40, 4), 1, dtype=np.uint8)
    pixels[:, 0] = 0
    pixels[:, 3] = 0
    pixels[1, 1] = 0
    pixels[2, 2] = 0
    pixels[-1] = 0
    for heights in ([40], [1], [2] * 20, [3, 30]):
        shapes = shapes_of(trace(pixels, heights, hold=0))
        assert shapely.is_valid(shapes).all()
        assert len(shapes) == 3


def test_a_river_through_a_thousand_bands_is_joined_once():
    """Joining it again at each band would take time with the square of their number."""
    pixels = np.zeros((1001, 301), dtype=np.uint8)
    pixels[1::2] = 1
    pixels[1::4, -1] = 0
    pixels[3::4, 0] = 0
    regions = trace(pixels, [1] * 1001, hold=0)
    shapes = shapes_of(regions)
    assert values_of(regions).tolist() == [1] * 500 + [0]
    assert np.array_equal(burned(shapes, values_of(regions), pixels.shape), pixels)


def test_nodata_alone_gives_nothing():
    assert [len(r) for r in trace(np.full((5, 5), NODATA, dtype=np.uint8))] == [0]


@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (4,)])
def test_rows_of_another_width_are_refused(shape):
    with pytest.raises(ValueError, match="rows must be"):
        Tracer(4).feed(np.zeros(shape, dtype=np.uint8))
