"""Canvas: the landscape while it is being painted."""

from __future__ import annotations

import numpy as np

from geocamss.simulate.frame import Bools, Frame
from geocamss.simulate.spectra import Palette

__all__ = ["BUILDING", "LAND", "ROAD", "VEGETATION", "WATER", "Canvas"]

LAND, WATER, BUILDING, VEGETATION, ROAD = range(5)


class Canvas:
    """Arrays (height, width) that the painters fill, ground first, things on it later."""

    def __init__(self, frame: Frame, palette: Palette) -> None:
        shape = (frame.height, frame.width)
        self.palette = palette
        """The materials used."""
        self.classes = np.zeros(shape, dtype=np.uint8)
        """What stands there: the truth."""
        self.cover = np.zeros(shape, dtype=np.uint16)
        """Palette row of what is seen."""
        self.other = np.zeros(shape, dtype=np.uint16)
        """Palette row of what is mixed into it."""
        self.share = np.zeros(shape, dtype=np.float32)
        """Share of the other, 0 to 1."""
        self.gain = np.ones(shape, dtype=np.float32)
        """Brightness by texture and slope, around 1."""
        self.shadow = np.zeros(shape, dtype=np.float32)
        """0 = in the sun, 1 = in shadow."""

    def fill(self, where: Bools, value: int, cover: int) -> None:
        """Paint one class and one material over part of the canvas."""
        self.classes[where] = value
        self.cover[where] = cover
        self.share[where] = 0
