"""Tally: what is counted of a map and its labels, some rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geocamss.evaluation.boundary import boundary_counts
from geocamss.evaluation.reliability import LEVELS, level_counts
from geocamss.evaluation.scores import IGNORED, confusion

__all__ = ["Rows", "Tally"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rows:
    """Some rows of a map, with its labels."""

    classes: Pixels
    """(height, width) channel numbers of the map; 255 = no data."""

    labels: Pixels
    """(height, width) channel numbers; 255 = not labeled."""

    confidence: Pixels
    """(height, width) percent; 255 = no data."""

    doubt: Pixels | None
    """(2, height, width) entropy and mutual information; None where they are not known."""

    core: slice
    """The rows to be counted; those around belong to the rows before and after."""


@dataclass(frozen=True)
class Tally:
    """Counts from which all scores follow; those of parts add up to those of the whole."""

    tolerance: int
    """Of boundaries, in pixels."""

    confusion: NDArray[np.int64]
    """(K, K + 1) by label and prediction; the last column is no prediction."""

    boundary: NDArray[np.int64]
    """(K, 4), from ``boundary_counts``."""

    confidence: NDArray[np.int64]
    """(256, 2), from ``level_counts`` of the percent."""

    doubt: NDArray[np.int64] | None
    """(2, 256, 2), likewise of entropy and mutual information; None where they are not known."""

    @classmethod
    def empty(cls, classes: int, tolerance: int, *, doubt: bool) -> Tally:
        """Nothing counted yet."""
        return cls(
            tolerance,
            np.zeros((classes, classes + 1), np.int64),
            np.zeros((classes, 4), np.int64),
            np.zeros((LEVELS, 2), np.int64),
            np.zeros((2, LEVELS, 2), np.int64) if doubt else None,
        )

    @classmethod
    def of(cls, rows: Rows, classes: int, tolerance: int) -> Tally:
        """Count some rows."""
        core = rows.core
        predicted, labels = rows.classes[core], rows.labels[core]
        counted = (labels != IGNORED) & (predicted != IGNORED)
        right = predicted == labels
        doubt = rows.doubt
        return cls(
            tolerance,
            confusion(predicted, labels, classes),
            boundary_counts(rows.classes, rows.labels, classes, tolerance, core),
            level_counts(rows.confidence[core], right, counted),
            None
            if doubt is None
            else np.stack([level_counts(band[core], right, counted) for band in doubt]),
        )

    def __add__(self, other: Tally) -> Tally:
        both = self.doubt is not None and other.doubt is not None
        return Tally(
            self.tolerance,
            self.confusion + other.confusion,
            self.boundary + other.boundary,
            self.confidence + other.confidence,
            np.asarray(self.doubt) + np.asarray(other.doubt) if both else None,
        )
