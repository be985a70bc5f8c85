"""Boundary F1: how well the lines between classes are drawn.

A map's boundary of a class is those of its pixels that touch another class, across one of their
four sides. Precision is the share of the map's boundary that lies within a tolerance of the labels'
boundary of the same class, recall the other way round (Csurka et al., "What is a good evaluation
measure for semantic segmentation?", 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geocamss.evaluation.scores import mean

__all__ = ["BoundaryScores", "boundary_counts", "boundary_scores"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BoundaryScores:
    """How well boundaries agree; 0 to 1, NaN where there are none."""

    tolerance: int
    """Pixels, from center to center, within which two boundaries agree."""

    f1: tuple[float, ...]
    """By class."""

    @property
    def mean_f1(self) -> float:
        """Mean over the classes that have a boundary in the map or in the labels."""
        return mean(self.f1)


def boundary_counts(
    predicted: NDArray[np.integer[Any]],
    labels: NDArray[np.integer[Any]],
    classes: int,
    tolerance: int,
    core: slice = slice(None),
) -> NDArray[np.int64]:
    """Count boundary pixels, and those that are near one of the other side.

    Only labeled pixels count, and an edge toward unlabeled or unmapped ground is none.

    Args:
        predicted: (height, width) channel numbers.
        labels: Shaped alike; anything but 0 to ``classes`` - 1 is ignored.
        classes: How many.
        tolerance: In pixels.
        core: The rows to count in. The others, ``tolerance`` + 1 of them above and below where the
            ground goes on, are what these must see.

    Returns:
        (classes, 4): of the map's boundary those near the labels' and all, of the labels' those
        near the map's and all.
    """
    labeled = (labels >= 0) & (labels < classes)
    known = labeled & (predicted >= 0) & (predicted < classes)
    mapped = np.where(known, predicted.astype(np.int64), -1)
    truth = np.where(labeled, labels.astype(np.int64), -1)
    ours, theirs = _edges(mapped), _edges(truth)
    counts = np.zeros((classes, 4), np.int64)
    for k in range(classes):
        mine, yours = ours & (mapped == k), theirs & (truth == k)
        if not (mine.any() or yours.any()):
            continue
        counts[k] = (
            np.count_nonzero((mine & _grown(yours, tolerance))[core]),
            np.count_nonzero(mine[core]),
            np.count_nonzero((yours & _grown(mine, tolerance))[core]),
            np.count_nonzero(yours[core]),
        )
    return counts


def boundary_scores(counts: NDArray[np.int64], tolerance: int) -> BoundaryScores:
    """Scores from the counts of ``boundary_counts``, or a sum of several."""
    near, all_ours, found, all_theirs = counts.astype(np.float64).T
    with np.errstate(invalid="ignore"):
        precision, recall = near / all_ours, found / all_theirs
        f1 = 2 * precision * recall / (precision + recall)
    one_sided = (all_ours == 0) != (all_theirs == 0)
    missed = (all_ours > 0) & (all_theirs > 0) & (near + found == 0)
    f1[one_sided | missed] = 0.0
    return BoundaryScores(tolerance, tuple(f1.tolist()))


def _edges(values: NDArray[np.int64]) -> Mask:
    """Pixels one of whose four neighbors is of another class; -1 is none."""
    edges = np.zeros(values.shape, bool)
    for near, far in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differ = (values[near] != values[far]) & (values[near] >= 0) & (values[far] >= 0)
        edges[near] |= differ
        edges[far] |= differ
    return edges


def _grown(mask: Mask, radius: int) -> Mask:
    """All pixels within ``radius`` of a marked one, center to center."""
    height, width = mask.shape
    grown = mask.copy()
    for down, right in _disk(radius):
        if abs(down) < height and abs(right) < width:
            target = (
                slice(max(0, down), height + min(0, down)),
                slice(max(0, right), width + min(0, right)),
            )
            source = (
                slice(max(0, -down), height + min(0, -down)),
                slice(max(0, -right), width + min(0, -right)),
            )
            grown[target] |= mask[source]
    return grown


@lru_cache(maxsize=8)
def _disk(radius: int) -> tuple[tuple[int, int], ...]:
    """Offsets within a radius, the center left out."""
    side = range(-radius, radius + 1)
    return tuple((r, c) for r in side for c in side if 0 < r * r + c * c <= radius * radius)
