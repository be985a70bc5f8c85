"""Majority: a class map whose single odd pixels go with the pixels around them.

Each pixel takes the class that most of the nine pixels of its neighborhood have; its own, if no
other has more of them. Nodata takes no part, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.output.classmap import BAND_PIXELS, Band, BandSource

__all__ = ["Smoothed"]

Bytes = NDArray[np.uint8]

_CENTER = 4


class Smoothed:
    """A class map after a majority filter of 3 x 3 pixels, read band by band."""

    def __init__(self, source: BandSource) -> None:
        """Smooth what ``source`` gives."""
        self._source = source
        self.width = source.width

    def bands(self, pixels: int = BAND_PIXELS) -> Iterator[Band]:
        """Read the map from top to bottom; a row is given once the one below it is known.

        Raises:
            ReadError: pixels cannot be read, or a class value is none.
        """
        above = np.full((1, self.width), NODATA, dtype=np.uint8)
        held: Band | None = None
        for band in self._source.bands(pixels):
            whole = band if held is None else _joined(held, band)
            if len(whole.classes) > 1:
                yield _cut(whole, majority(np.concatenate((above, whole.classes))), -1)
                above = whole.classes[-2:-1]
            held = _cut(whole, whole.classes, None, len(whole.classes) - 1)
        if held is not None:
            below = np.full((1, self.width), NODATA, dtype=np.uint8)
            yield replace(held, classes=majority(np.concatenate((above, held.classes, below))))


def majority(classes: Bytes) -> Bytes:
    """The most frequent class of each pixel's neighborhood.

    Of several, it is the pixel's own, or else the lowest.

    Args:
        classes: (h + 2, w), with the rows above and below.

    Returns:
        (h, w)
    """
    framed = np.pad(classes, ((0, 0), (1, 1)), constant_values=NODATA)
    height, width = len(classes) - 2, classes.shape[1]
    around = [framed[r : r + height, c : c + width] for r in range(3) for c in range(3)]
    own = around[_CENTER]
    result, most = own.copy(), np.zeros((height, width), dtype=np.uint8)
    for index in (_CENTER, *(k for k in range(9) if k != _CENTER)):
        value = around[index]
        votes = np.zeros((height, width), dtype=np.uint8)
        for other in around:
            votes += value == other
        better = votes > most
        better |= (votes == most) & (result != own) & (value < result)
        better &= value != NODATA
        result = np.where(better, value, result)
        most = np.where(better, votes, most)
    return np.where(own == NODATA, own, result)


def _joined(one: Band, other: Band) -> Band:
    percent = None
    if one.confidence is not None and other.confidence is not None:
        percent = np.concatenate((one.confidence, other.confidence))
    return Band(one.row, np.concatenate((one.classes, other.classes)), percent)


def _cut(band: Band, classes: Bytes, stop: int | None, start: int = 0) -> Band:
    """Rows ``start`` to ``stop`` of a band, with other classes."""
    percent = None if band.confidence is None else band.confidence[start:stop]
    rows = classes[start:stop] if len(classes) == len(band.classes) else classes
    return Band(band.row + start, rows, percent)
