"""Frame: the ground that a landscape shows, and the pixels that show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Bytes", "Doubles", "Floats", "Frame", "Ints"]

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_TRUE_SCALE_GSD = 2.0
"""Up to this GSD, in meters, everything has its true size."""


@dataclass(frozen=True)
class Frame:
    """A raster laid on flat ground: x runs east, y runs south, both in meters from the corner."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    gsd: float
    """Ground sample distance, in meters."""

    @property
    def unit(self) -> float:
        """How many times its true size a thing is drawn.

        1 up to a GSD of 2 m. Coarser frames are generalized as maps are: houses become blocks of
        houses, so that things keep a few pixels each and their truth stays worth having.
        """
        return max(1.0, self.gsd / _TRUE_SCALE_GSD)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the ground shown, in meters."""
        return self.width * self.gsd, self.height * self.gsd

    @property
    def span(self) -> float:
        """The shorter side of the ground shown, in meters of true-size things."""
        return min(self.size) / self.unit

    @cached_property
    def x(self) -> Doubles:
        """Pixel centers eastward, in meters, (1, width)."""
        return _centers(self.width, self.gsd)[None, :]

    @cached_property
    def y(self) -> Doubles:
        """Pixel centers southward, in meters, (height, 1)."""
        return _centers(self.height, self.gsd)[:, None]

    def pixels(self, x: Doubles, y: Doubles) -> tuple[Ints, Ints]:
        """Rows and columns of ground points inside the frame."""
        row = np.minimum((y / self.gsd).astype(np.intp), self.height - 1)
        column = np.minimum((x / self.gsd).astype(np.intp), self.width - 1)
        return row, column

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns whose centers lie within a reach of a point, clipped to the frame."""
        left, right = ((x + side * reach) / self.gsd - 0.5 for side in (-1, 1))
        top, bottom = ((y + side * reach) / self.gsd - 0.5 for side in (-1, 1))
        return (
            slice(max(0, int(np.ceil(top))), max(0, min(self.height, int(np.floor(bottom)) + 1))),
            slice(max(0, int(np.ceil(left))), max(0, min(self.width, int(np.floor(right)) + 1))),
        )


def _centers(count: int, gsd: float) -> Doubles:
    return (np.arange(count, dtype=np.float64) + 0.5) * gsd
