"""How much outline a class map has, counted before it is traced.

Tracing and writing polygons takes a while, and so many bytes as nobody knows beforehand: of a calm
map a hundredth of a byte a pixel, of noise a hundred. Their vertices can be counted at a glance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.output.classmap import ClassMap

__all__ = ["Outline"]

VERTEX_BYTES = 16
"""Two coordinates."""

RING_BYTES = 4 + VERTEX_BYTES
"""The number of its vertices, and the first one again at the end."""

REGION_BYTES = 150
"""At least, of a polygon's header, bounds and attributes, and of its place in the index."""

FILE_BYTES = 100_000
"""Of a GeoPackage without any polygon."""

MOST_BYTES = 400
"""No pixel takes more, even as a polygon of its own."""


@dataclass(frozen=True)
class Outline:
    """What the polygons of a class map are made of."""

    vertices: int
    """Corners of all rings, each ring's first one counted once."""

    regions: int
    """Polygons less holes that do not touch what is outside, not even with a corner; 0 if less."""

    @classmethod
    def of(cls, source: ClassMap) -> Self:
        """Count the corners of a map's 4-connected regions; nodata is none.

        A ring turns once around: it has four more corners that point out of its region than into
        it, or four less around a hole.

        Raises:
            ReadError: pixels cannot be read.
        """
        outward = inward = 0
        above = np.full((1, source.width), NODATA, np.uint8)
        for band in source.bands():
            rows = np.concatenate((above, band.classes))
            found = _corners(rows)
            outward, inward = outward + found[0], inward + found[1]
            above = rows[-1:]
        found = _corners(np.concatenate((above, np.full_like(above, NODATA))))
        outward, inward = outward + found[0], inward + found[1]
        return cls(outward + inward, max(0, (outward - inward) // 4))

    @property
    def bytes(self) -> int:
        """What a GeoPackage of the polygons takes, at least."""
        shapes = self.vertices * VERTEX_BYTES + self.regions * (RING_BYTES + REGION_BYTES)
        return FILE_BYTES + shapes

    @staticmethod
    def most_bytes(pixels: int) -> int:
        """What a GeoPackage takes at most, whatever the map; of that many pixels."""
        return FILE_BYTES + MOST_BYTES * pixels


def _corners(rows: NDArray[np.uint8]) -> tuple[int, int]:
    """Corners where four pixels of neighboring rows meet: those that point outward, and inward."""
    padded = np.pad(rows, ((0, 0), (1, 1)), constant_values=NODATA)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    ab, cd, ac, bd = a != b, c != d, a != c, b != d
    ad, bc = a != d, b != c
    outward = inward = 0
    for pixel, beside, below, across in (
        (a, ab, ac, ad),
        (b, ab, bd, bc),
        (c, cd, ac, bc),
        (d, cd, bd, ad),
    ):
        known = pixel != NODATA
        outward += int(np.count_nonzero(beside & below & known))
        inward += int(np.count_nonzero(~(beside | below) & across & known))
    return outward, inward
