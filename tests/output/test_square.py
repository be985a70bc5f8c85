"""Right angles: where polygons get them, and that the others stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from geocamss.output.square import LEAST_OVERLAP, squared


def house(width: float, depth: float, wing: float, yard: bool) -> shapely.Polygon:
    """A rectangle, with a wing and a yard."""
    shape = shapely.box(0, 0, width, depth)
    if wing:
        shape = shape.union(shapely.box(0.4 * width, depth / 2, 0.9 * width, depth + wing))
    if yard:
        corners = np.multiply([0.2, 0.2, 0.4, 0.6], [width, depth, width, depth])
        shape = shape.difference(shapely.box(*corners))
    return shape


def turned(shape, angle: float, noise: float = 0.0, seed: int = 0):
    """Turned, with vertices all along its edges, each shaken a little."""
    shape = affinity.rotate(shape.segmentize(1.0), angle, origin=(0, 0))
    return shapely.transform(
        shape, lambda points: points + noise * np.sin(999 * points[:, ::-1] + seed)
    )


def cosines(shape) -> np.ndarray:
    """Of the angles at all corners."""
    found = []
    for ring in (shape.exterior, *shape.interiors):
        step = np.diff(shapely.get_coordinates(ring), axis=0)
        step /= np.linalg.norm(step, axis=1, keepdims=True)
        found.append(np.sum(step * np.roll(step, 1, axis=0), axis=1))
    return np.concatenate(found)


houses = st.builds(
    turned,
    st.builds(
        house,
        st.floats(12, 30),
        st.floats(12, 30),
        st.sampled_from([0.0, 6.0, 12.0]),
        st.booleans(),
    ),
    st.floats(0, 360),
    st.just(0.2),
    st.integers(0, 1000),
)


@settings(max_examples=40)
@given(st.lists(houses, min_size=1, max_size=5))
def test_shaken_houses_get_right_angles_and_keep_their_yards(shapes):
    shapes = np.array(shapes, dtype=object)
    done, good = squared(shapes, np.full(len(shapes), 0.5))
    assert good.all()
    assert shapely.is_valid(done).all()
    rings = shapely.get_num_interior_rings
    np.testing.assert_array_equal(rings(done), rings(shapes))
    common, union = shapely.area(shapely.intersection(done, shapes)), shapely.union(done, shapes)
    assert (common >= LEAST_OVERLAP * shapely.area(union)).all()
    for shape in done:
        assert np.abs(cosines(shape)).max() < 1e-6


def test_each_polygon_is_squared_as_if_it_were_alone():
    shapes = [turned(house(12 + k, 9, 5 * (k % 2), k % 3 == 0), 17 * k, 0.2, k) for k in range(9)]
    shapes.insert(4, shapely.Point(50, 50).buffer(9))
    together, good = squared(np.array(shapes, dtype=object), np.full(len(shapes), 1.0))
    for shape, found, right in zip(shapes, together, good, strict=True):
        (alone,), (same,) = squared(np.array([shape], dtype=object), np.ones(1))
        assert same == right
        assert shapely.equals_exact(alone, found, tolerance=1e-9)


def test_what_does_not_suit_right_angles_stays():
    triangle = shapely.Polygon([(0, 0), (20, 0), (0, 20)])
    ring = shapely.Point(0, 0).buffer(20).difference(shapely.Point(0, 0).buffer(18))
    star = shapely.Polygon([(0, 9), (1, 1), (9, 0), (1, -1), (0, -9), (-1, -1), (-9, 0), (-1, 1)])
    shapes = np.array([triangle, ring, affinity.rotate(star, 20)], dtype=object)
    done, good = squared(shapes, np.full(3, 0.5))
    assert not good.any()
    assert (done == shapes).all()


def test_a_hole_without_sides_is_left_out():
    shape = shapely.box(0, 0, 20, 10).difference(shapely.Polygon([(3, 3), (4, 3), (3, 4)]))
    (done,), (good,) = squared(np.array([shape], dtype=object), np.array([0.1]))
    assert good
    assert shapely.equals(done, shapely.box(0, 0, 20, 10))


@pytest.mark.parametrize("count", [0, 1])
def test_few_polygons(count):
    shapes = np.array([shapely.box(0, 0, 4, 3)] * count, dtype=object)
    done, good = squared(shapes, np.ones(count))
    assert good.tolist() == [True] * count
    assert shapely.equals(done, shapes).all()
