"""Light: where the sun stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geocamss.simulate.dice import Dice

__all__ = ["Light"]


@dataclass(frozen=True)
class Light:
    """The sun above a landscape."""

    x: float
    """Eastward part of the unit vector toward the sun's foot point."""

    y: float
    """Southward part of it."""

    reach: float
    """Length of a shadow by the height of what throws it."""

    shade: float
    """Brightness in full shadow, against that in the sun."""

    @classmethod
    def draw(cls, seed: int) -> Light:
        """A forenoon or afternoon sun: south of overhead in most landscapes."""
        dice = Dice(seed, "light")
        azimuth = math.radians(dice.uniform(95, 265) + (180 if dice.chance(0.2) else 0))
        elevation = math.radians(dice.uniform(32, 68))
        return cls(
            x=math.sin(azimuth),
            y=-math.cos(azimuth),
            reach=1 / math.tan(elevation),
            shade=dice.uniform(0.22, 0.42),
        )
