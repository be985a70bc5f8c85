"""Reliability: whether a map is as sure as it may be, and whether doubt finds its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "Calibration", "ReliabilityBin", "auroc", "calibration", "level_counts"]

LEVELS = 256
"""Confidence and doubt come as uint8; 255 is no data."""

BIN_PERCENT = 5
"""Width of a bin of the reliability diagram, in percent."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The pixels whose confidence lies in a range."""

    low: float
    """Confidence, 0 to 1, exclusive (but for 0 itself)."""

    high: float
    """Confidence, 0 to 1, inclusive."""

    pixels: int
    """How many."""

    confidence: float
    """Their mean confidence, 0 to 1."""

    accuracy: float
    """The share of them that is right."""


@dataclass(frozen=True)
class Calibration:
    """Confidence against what came true."""

    ece: float
    """Expected calibration error: the mean distance of confidence and accuracy over the bins,
    weighted by pixels (Guo et al., "On Calibration of Modern Neural Networks", 2017); 0 to 1."""

    bins: tuple[ReliabilityBin, ...]
    """The reliability diagram; bins without a pixel are left out."""


def level_counts(
    levels: NDArray[np.uint8], right: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Count pixels by level and by whether they are right.

    Args:
        levels: Any shape; confidence in percent, or doubt.
        right: Shaped alike.
        counted: Shaped alike, True = to be counted.

    Returns:
        (256, 2): wrong ones, right ones.
    """
    code = levels[counted].astype(np.int64) * 2 + right[counted]
    return np.bincount(code, minlength=2 * LEVELS).astype(np.int64).reshape(LEVELS, 2)


def calibration(counts: NDArray[np.int64]) -> Calibration:
    """Calibration from ``level_counts`` of the confidence in percent, or a sum of several."""
    bins = []
    gap = 0.0
    total = int(counts[:101].sum())
    for low in range(0, 100, BIN_PERCENT):
        levels = np.arange(low + 1 if low else 0, low + BIN_PERCENT + 1)
        part = counts[levels]
        pixels = int(part.sum())
        if pixels:
            sure = float((part.sum(1) * levels).sum()) / pixels / 100
            right = int(part[:, 1].sum()) / pixels
            gap += abs(sure - right) * pixels / total
            bins.append(ReliabilityBin(low / 100, (low + BIN_PERCENT) / 100, pixels, sure, right))
    return Calibration(gap if total else float("nan"), tuple(bins))


def auroc(counts: NDArray[np.integer[Any]]) -> float:
    """Chance that a wrong pixel has a higher level than a right one; ties count half.

    Args:
        counts: (levels, 2), from ``level_counts``; the last level, no data, is left out.

    Returns:
        0 to 1; 0.5 is guessing. NaN unless there are both wrong and right pixels.
    """
    wrong, right = counts[: LEVELS - 1].astype(np.float64).T
    if not (wrong.sum() and right.sum()):
        return float("nan")
    below = np.cumsum(right) - right
    return float((wrong * (below + right / 2)).sum() / (wrong.sum() * right.sum()))
