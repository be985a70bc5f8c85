"""Calibration and error detection against their definitions, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import mannwhitneyu

from geocamss.evaluation.reliability import auroc, calibration, level_counts

pixels = st.integers(1, 200).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.uint8, n, elements=st.integers(0, 100)), hnp.arrays(np.bool_, n)
    )
)


@given(pixels)
def test_calibration_error_is_the_mean_distance_by_bin(drawn):
    percent, right = drawn
    found = calibration(level_counts(percent, right, np.ones(len(percent), bool)))
    gap = 0.0
    for low in range(0, 100, 5):
        inside = (percent > low) & (percent <= low + 5)
        if low == 0:
            inside |= percent == 0
        if inside.any():
            gap += abs(percent[inside].mean() / 100 - right[inside].mean()) * inside.mean()
    assert math.isclose(found.ece, gap, abs_tol=1e-12)
    assert sum(part.pixels for part in found.bins) == len(percent)


@given(pixels)
def test_auroc_is_the_chance_that_the_wrong_pixel_is_doubted_more(drawn):
    level, right = drawn
    found = auroc(level_counts(level, right, np.ones(len(level), bool)))
    wrong, good = level[~right], level[right]
    if not (len(wrong) and len(good)):
        assert math.isnan(found)
        return
    expected = mannwhitneyu(wrong, good, method="asymptotic").statistic / len(wrong) / len(good)
    assert math.isclose(found, expected, abs_tol=1e-9)


@given(pixels)
def test_what_is_not_counted_does_not_matter(drawn):
    level, right = drawn
    counted = np.arange(len(level)) % 3 > 0
    found = level_counts(level, right, counted)
    np.testing.assert_array_equal(
        found, level_counts(level[counted], right[counted], np.ones(counted.sum(), bool))
    )
    assert found.sum() == counted.sum()


def test_without_pixels_there_is_no_error():
    assert math.isnan(calibration(np.zeros((256, 2), np.int64)).ece)
