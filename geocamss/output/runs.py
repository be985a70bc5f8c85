"""Runs: equal pixels side by side in a row of a class map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Runs", "find_runs"]


@dataclass(frozen=True)
class Runs:
    """Runs of equal pixels along the rows of a band, in reading order."""

    row: NDArray[np.int64]
    """(n,) row in the map."""

    start: NDArray[np.int64]
    """(n,) first column."""

    stop: NDArray[np.int64]
    """(n,) column after the last."""

    values: NDArray[np.uint8]
    """(n,) class value; nodata has runs as well."""

    def sums(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Sum over each run of a band of the same size, (h, w); the runs must be all of it."""
        width = pixels.shape[1]
        starts = (self.row - self.row[0]) * width + self.start
        return np.add.reduceat(pixels.ravel(), starts, dtype=np.int64)


def find_runs(pixels: NDArray[np.uint8], row: int = 0) -> Runs:
    """Find the runs of a band, (h, w), whose first row is ``row`` of the map."""
    first = np.ones(pixels.shape, dtype=bool)
    np.not_equal(pixels[:, 1:], pixels[:, :-1], out=first[:, 1:])
    starts = np.flatnonzero(first)
    stops = np.append(starts[1:], pixels.size)
    rows, columns = np.divmod(starts, pixels.shape[1])
    return Runs(rows + row, columns, columns + (stops - starts), pixels.ravel()[starts])
