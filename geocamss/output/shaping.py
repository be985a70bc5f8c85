"""Shaping: what is done to a class map, and to its polygons, on request."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geocamss.errors import InputError

__all__ = ["EXACT", "Shaping"]


@dataclass(frozen=True)
class Shaping:
    """What polygons are to be like, in the order in which it is done.

    As it stands nothing is done: polygons are the class map, pixel for pixel.
    """

    min_area: float = 0.0
    """Square meters on the ground; smaller regions go to their neighbors, see ``sieve``."""

    smooth: bool = False
    """Whether each pixel takes the class of most pixels around it, see ``majority``."""

    simplify: float = 0.0
    """Meters by which borders may move to have fewer vertices, see ``simplify``; without a CRS,
    pixels."""

    square: tuple[int, ...] = ()
    """Class values whose polygons get right angles, see ``square``; these leave the coverage."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: one is negative, or not finite.
        """
        for name, unit in (("min_area", "square meters"), ("simplify", "meters")):
            number = getattr(self, name)
            if not (isinstance(number, int | float) and 0 <= number < math.inf):
                raise InputError(f"{name} must be {unit}, 0 or more, got {number!r}")
        object.__setattr__(self, "square", tuple(self.square))


EXACT = Shaping()
"""Polygons as the map has them."""
