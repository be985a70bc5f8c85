"""Colors: of classes by value, and of quantities by ramp."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geocamss.classes import ClassScheme

__all__ = ["CONFIDENCE", "UNCERTAINTY", "Color", "Ramp", "color_table"]

Color = tuple[int, int, int, int]
"""Red, green, blue and alpha, each 0 to 255."""


def color_table(scheme: ClassScheme) -> dict[int, Color]:
    """Red, green, blue and alpha of all 256 values; transparent where there is no class."""
    known = scheme.by_value()
    return {v: (*known[v].color, 255) if v in known else (0, 0, 0, 0) for v in range(256)}


@dataclass(frozen=True)
class Ramp:
    """The colors of a quantity, between its least value and its greatest."""

    low: float
    """The value of the first color; smaller ones have it as well."""

    high: float
    """The value of the last color; greater ones have it as well."""

    colors: tuple[Color, ...]
    """Two colors or more, at even distances."""

    unit: str = ""
    """Stands behind the numbers in a legend."""

    band: int = 1
    """Which band of the raster holds the quantity, from 1."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a ramp goes from low to high, got {self.low!r} to {self.high!r}")
        if len(self.colors) < 2:
            raise ValueError(f"a ramp has two colors or more, got {self.colors!r}")
        if self.band < 1:
            raise ValueError(f"bands count from 1, got {self.band}")

    def stops(self) -> tuple[tuple[float, Color], ...]:
        """Value and color of each stop, ascending."""
        last = len(self.colors) - 1
        values = (self.low + (self.high - self.low) * k / last for k in range(last + 1))
        return tuple(zip(values, self.colors, strict=True))

    def label(self, value: float) -> str:
        """What a legend says of a value."""
        return f"{value:.4g} {self.unit}".rstrip()


CONFIDENCE = Ramp(
    0,
    100,
    (
        (68, 1, 84, 255),
        (59, 82, 139, 255),
        (33, 145, 140, 255),
        (94, 201, 98, 255),
        (253, 231, 37, 255),
    ),
    "%",
)
"""Percent: light where the map is sure, even in gray and for the color-blind."""

UNCERTAINTY = Ramp(
    0,
    1,
    (
        (0, 0, 4, 255),
        (81, 18, 124, 255),
        (183, 55, 121, 255),
        (252, 137, 97, 255),
        (252, 253, 191, 255),
    ),
)
"""Share of the most that can be: it glows where the map is unsure."""
