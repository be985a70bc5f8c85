"""Boundary scores against distances to every boundary pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt

from geocamss.evaluation.boundary import boundary_counts, boundary_scores

CLASSES = 3
values = st.sampled_from([0, 0, 0, 1, 1, 2, 255])
maps = st.tuples(st.integers(1, 14), st.integers(1, 12)).flatmap(
    lambda shape: hnp.arrays(np.uint8, (2, *shape), elements=values)
)


def naive_boundary(values, k):
    """Pixels of class k with a neighbor of another class, one by one."""
    edges = np.zeros(values.shape, bool)
    height, width = values.shape
    for r, c in np.argwhere(values == k):
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            y, x = r + down, c + right
            if 0 <= y < height and 0 <= x < width and values[y, x] not in (k, 255):
                edges[r, c] = True
    return edges


def naive_near(edges, others, tolerance):
    if not others.any():
        return 0
    return int((distance_transform_edt(~others)[edges] <= tolerance).sum())


@given(maps, st.integers(0, 3))
def test_counts_agree_with_distances(pair, tolerance):
    predicted, labels = pair
    found = boundary_counts(predicted, labels, CLASSES, tolerance)
    labeled = labels != 255
    mapped = np.where(labeled, predicted, 255)
    for k in range(CLASSES):
        ours, theirs = naive_boundary(mapped, k), naive_boundary(labels, k)
        expected = [
            naive_near(ours, theirs, tolerance),
            ours.sum(),
            naive_near(theirs, ours, tolerance),
            theirs.sum(),
        ]
        assert found[k].tolist() == expected


@given(maps, st.integers(0, 3), st.integers(1, 6))
def test_rows_with_halos_count_as_the_whole(pair, tolerance, step):
    predicted, labels = pair
    height = len(labels)
    halo = tolerance + 1
    total = np.zeros((CLASSES, 4), np.int64)
    for row in range(0, height, step):
        first, stop = max(0, row - halo), min(height, row + step + halo)
        core = slice(row - first, min(row + step, height) - first)
        part = slice(first, stop)
        total += boundary_counts(predicted[part], labels[part], CLASSES, tolerance, core)
    np.testing.assert_array_equal(total, boundary_counts(predicted, labels, CLASSES, tolerance))


def test_a_boundary_moved_within_the_tolerance_is_right_and_beyond_it_wrong():
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = 1
    for shift, expected in ((0, 1.0), (2, 1.0), (3, 0.0)):
        predicted = np.roll(labels, shift, axis=1)
        predicted[:, :5] = 0
        found = boundary_scores(boundary_counts(predicted, labels, 2, 2), 2)
        assert found.f1 == (expected, expected)
        assert found.mean_f1 == expected


def test_without_boundaries_there_is_no_score():
    even = np.zeros((5, 5), np.uint8)
    found = boundary_scores(boundary_counts(even, even, 2, 1), 1)
    assert np.isnan(found.f1).all()
    assert np.isnan(found.mean_f1)


def test_a_boundary_on_one_side_only_scores_nothing():
    even = np.zeros((5, 5), np.uint8)
    halves = even.copy()
    halves[:, 2:] = 1
    assert boundary_scores(boundary_counts(halves, even, 2, 1), 1).mean_f1 == pytest.approx(0)
    assert boundary_scores(boundary_counts(even, halves, 2, 1), 1).mean_f1 == pytest.approx(0)
