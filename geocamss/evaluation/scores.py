"""Scores of class maps, from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORED", "Scores", "confusion", "scores"]

IGNORED = 255
"""Label of pixels that count in no score."""


@dataclass(frozen=True)
class Scores:
    """How well a map agrees with its labels; all numbers 0 to 1, NaN where there is nothing."""

    iou: tuple[float, ...]
    """Intersection over union, by class; NaN for a class neither labeled nor mapped."""

    f1: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    miou: float
    """Mean IoU over the classes that are labeled or mapped."""

    accuracy: float
    """Share of the labeled pixels that are right."""

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the classes that are labeled or mapped."""
        return mean(self.f1)

    @property
    def mean_precision(self) -> float:
        """Mean precision over the classes that are mapped: the CAM-Seg paper's "AP".

        A map that leaves the hard pixels to one class gains by it, so it stands beside mIoU only.
        """
        return mean(self.precision)


def mean(values: tuple[float, ...]) -> float:
    """The mean of the numbers that are any; NaN without any."""
    known = [value for value in values if value == value]  # noqa: PLR0124  (NaN is not itself)
    return sum(known) / len(known) if known else float("nan")


def confusion(
    predicted: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """Count pixels by label (row) and prediction (column).

    Args:
        predicted: Integers of any shape, channel numbers.
        labels: Shaped alike; anything but 0 to ``classes`` - 1 is ignored.
        classes: How many.

    Returns:
        (classes, classes + 1). The last column counts labeled pixels with no prediction.
    """
    labeled = (labels >= 0) & (labels < classes)
    rows = labels[labeled].astype(np.int64)
    cols = predicted[labeled].astype(np.int64)
    cols[(cols < 0) | (cols >= classes)] = classes
    counts = np.bincount(rows * (classes + 1) + cols, minlength=classes * (classes + 1))
    return counts.astype(np.int64).reshape(classes, classes + 1)


def scores(matrix: NDArray[np.int64]) -> Scores:
    """Scores from a confusion matrix of ``confusion``, or a sum of several."""
    classes = len(matrix)
    counts = matrix.astype(np.float64)
    hits = counts[:, :classes].diagonal()
    labeled = counts.sum(1)
    mapped = counts[:, :classes].sum(0)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN: there is nothing to score
        iou = hits / (labeled + mapped - hits)
        f1 = 2 * hits / (labeled + mapped)
        precision, recall = hits / mapped, hits / labeled
        accuracy = hits.sum() / labeled.sum()
    values = tuple(iou.tolist())
    return Scores(
        iou=values,
        f1=tuple(f1.tolist()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
        miou=mean(values),
        accuracy=float(accuracy),
    )
