"""Scores of class maps, from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scores", "confusion", "scores"]


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


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count pixels by label (row) and prediction (column).

    Args:
        predicted: Integers of any shape, channel numbers.
        labels: Shaped alike; anything but 0 to ``classes`` - 1 is ignored.
        classes: How many.

    Returns:
        (classes, classes + 1) int64. The last column counts labeled pixels with no prediction.
    """
    labeled = (labels >= 0) & (labels < classes)
    rows = labels[labeled].long()
    cols = predicted[labeled].long()
    cols = torch.where((cols >= 0) & (cols < classes), cols, classes)
    counts = torch.bincount(rows * (classes + 1) + cols, minlength=classes * (classes + 1))
    return counts.view(classes, classes + 1)


def scores(matrix: Tensor) -> Scores:
    """Scores from a confusion matrix of ``confusion``, or a sum of several."""
    classes = matrix.shape[0]
    counts = matrix.double()
    hits = counts[:, :classes].diagonal()
    labeled = counts.sum(1)
    mapped = counts[:, :classes].sum(0)
    iou = hits / (labeled + mapped - hits)  # 0/0 is NaN: there is nothing to score
    return Scores(
        iou=tuple(iou.tolist()),
        f1=tuple((2 * hits / (labeled + mapped)).tolist()),
        precision=tuple((hits / mapped).tolist()),
        recall=tuple((hits / labeled).tolist()),
        miou=float(iou.nanmean()),
        accuracy=float(hits.sum() / labeled.sum()),
    )
