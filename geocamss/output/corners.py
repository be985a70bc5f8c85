"""Corners: where outlines turn or meet on the lattice of a map's pixel corners.

A quarter of a byte for each pixel is kept, so that a corner can be looked up anywhere in the rows
that have been read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geocamss.classes import NODATA

__all__ = ["NODE", "TURN", "Corners"]

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

TURN = 1
"""Two edges meet there at a right angle: a vertex of one border."""

NODE = 2
"""Three or four edges meet there: borders end."""


class Corners:
    """What each corner of a pixel is: nothing, ``TURN`` or ``NODE``."""

    def __init__(self, width: int, height: int) -> None:
        """Begin above the first row of a map of ``width`` x ``height`` pixels."""
        self.columns = width + 1
        """Corners along a line of the lattice."""
        self._bytes = -(-self.columns // 4)
        self._packed = np.zeros((height + 1) * self._bytes, dtype=np.uint8)
        self._row = np.full((1, width), NODATA, dtype=np.uint8)
        self._line = 0

    def feed(self, classes: Bytes) -> None:
        """Take the next rows, (h, width); lines down to the last row's upper edge are then known.

        After the last row one more is needed, of nodata.
        """
        pixels = np.concatenate((self._row, classes))
        kinds = _kinds(pixels)
        padded = np.zeros((len(kinds), 4 * self._bytes), dtype=np.uint8)
        padded[:, : self.columns] = kinds
        quads = padded.reshape(-1, 4)
        packed = quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6
        start = self._line * self._bytes
        self._packed[start : start + len(packed)] = packed
        self._line += len(classes)
        self._row = classes[-1:].copy()

    def at(self, rows: Ints, columns: Ints) -> Bytes:
        """What lies at lines and columns of the lattice, (n,) each."""
        packed = self._packed[rows * self._bytes + (columns >> 2)]
        return np.asarray(packed >> ((columns & 3) << 1).astype(np.uint8) & 3)


def _kinds(pixels: Bytes) -> Bytes:
    """Kinds of the corners between rows: (h, w) pixels give (h - 1, w + 1)."""
    framed = np.pad(pixels, ((0, 0), (1, 1)), constant_values=NODATA)
    beside = (framed[:, :-1] != framed[:, 1:]).view(np.uint8)  # an edge between two columns
    below = (framed[:-1] != framed[1:]).view(np.uint8)  # an edge between two rows
    upward, downward = beside[:-1], beside[1:]
    left, right = below[:, :-1], below[:, 1:]
    degree = upward + downward + left + right
    turns = (degree == 2) & (upward != downward)
    return np.asarray(turns * np.uint8(TURN) + (degree > 2) * np.uint8(NODE))
