"""Triangles between corners of pixels, and the corners that lie in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geocamss.output.chains import ragged

__all__ = ["Points", "inside", "middles", "points_within"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Points = Callable[[Ints, Ints], tuple[Ints, Ints, Ints]]
"""Gives lattice points of triangles, see ``points_within``."""


def middles(rows: Ints, columns: Ints) -> tuple[Ints, Ints, Ints]:
    """The corner of pixels in the middle of a side of triangles that have one such side."""
    row, column = np.empty_like(rows[0]), np.empty_like(rows[0])
    for one, other in ((0, 1), (1, 2), (2, 0)):
        y, x = rows[one] + rows[other], columns[one] + columns[other]
        even = (y | x) & 1 == 0
        row[even], column[even] = y[even] >> 1, x[even] >> 1
    return np.arange(len(row)), row, column


def points_within(rows: Ints, columns: Ints) -> tuple[Ints, Ints, Ints]:
    """Corners of pixels in triangles, and maybe some beside them.

    Args:
        rows: (3, n) of the triangles' vertices.
        columns: (3, n) likewise.

    Returns:
        Triangle, row and column of each.
    """
    top = rows.min(axis=0)
    lines = rows.max(axis=0) - top + 1
    triangle = np.repeat(np.arange(len(top)), lines)
    row = ragged(top, lines)
    low = np.full(len(row), np.inf)
    high = np.full(len(row), -np.inf)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        y0, y1 = rows[one][triangle], rows[other][triangle]
        x0, x1 = columns[one][triangle], columns[other][triangle]
        meets = (np.minimum(y0, y1) <= row) & (row <= np.maximum(y0, y1))
        part = (row - y0) / np.where(y0 == y1, 1, y1 - y0)
        x = x0 + part * (x1 - x0)
        for end in (np.where(y0 == y1, x0, x), np.where(y0 == y1, x1, x)):
            low = np.where(meets, np.minimum(low, end), low)
            high = np.where(meets, np.maximum(high, end), high)
    first = np.ceil(low - 1e-6).astype(np.int64)
    count = np.floor(high + 1e-6).astype(np.int64) - first + 1
    np.maximum(count, 0, out=count)
    return np.repeat(triangle, count), np.repeat(row, count), ragged(first, count)


def inside(rows: Ints, columns: Ints, row: Ints, column: Ints) -> Bools:
    """Whether points lie in triangles, (3, n), or on their edges; exact."""
    turns = []
    for one, other in ((0, 1), (1, 2), (2, 0)):
        dy, dx = rows[other] - rows[one], columns[other] - columns[one]
        turns.append(dx * (row - rows[one]) - dy * (column - columns[one]))
    lowest, highest = np.min(turns, axis=0), np.max(turns, axis=0)
    flat = (lowest == 0) & (highest == 0)
    within = (rows.min(axis=0) <= row) & (row <= rows.max(axis=0))
    within &= (columns.min(axis=0) <= column) & (column <= columns.max(axis=0))
    return np.asarray(((lowest >= 0) | (highest <= 0)) & (~flat | within))
