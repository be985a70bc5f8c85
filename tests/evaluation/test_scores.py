"""Scores against their definitions, counted pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geocamss.evaluation.scores import confusion, scores

CLASSES = 4
maps = hnp.arrays(np.uint8, (2, 60), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(maps)
def test_scores_agree_with_sets_of_pixels(pair):
    predicted, labels = pair
    found = scores(confusion(predicted, labels, CLASSES))
    counted = labels != 255
    ious = []
    for k in range(CLASSES):
        truth, mapped = (labels == k), (predicted == k) & counted
        both, either = (truth & mapped).sum(), (truth | mapped).sum()
        expected = both / either if either else math.nan
        ious.append(expected)
        assert np.isclose(found.iou[k], expected, equal_nan=True)
        assert np.isclose(
            found.recall[k], both / truth.sum() if truth.any() else math.nan, equal_nan=True
        )
        assert np.isclose(
            found.precision[k], both / mapped.sum() if mapped.any() else math.nan, equal_nan=True
        )
        total = truth.sum() + mapped.sum()
        assert np.isclose(found.f1[k], 2 * both / total if total else math.nan, equal_nan=True)
    if counted.any():
        assert np.isclose(found.miou, np.nanmean(ious))
        assert np.isclose(found.accuracy, (predicted == labels)[counted].mean())


@given(maps, maps)
def test_confusion_is_additive(first, second):
    def count(pair):
        return confusion(pair[0], pair[1], CLASSES)

    together = np.concatenate([first, second], axis=1)
    np.testing.assert_array_equal(count(together), count(first) + count(second))


def test_unmapped_pixels_lower_recall_but_are_no_class():
    labels = np.zeros(10, np.uint8)
    predicted = labels.copy()
    predicted[:4] = 255
    found = scores(confusion(predicted, labels, 2))
    assert found.recall[0] == found.iou[0] == found.accuracy == 0.6
    assert found.precision[0] == 1
