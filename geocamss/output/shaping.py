"""Shaping: what is done to a class map, and to its polygons, on request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from geocamss.classes import ClassScheme
from geocamss.errors import InputError

__all__ = ["EXACT", "Shaping", "class_values"]


@dataclass(frozen=True)
class Shaping:
    """What polygons are to be like, in the order in which it is done.

    As it stands nothing is done: polygons are the class map, pixel for pixel.
    """

    min_area: float = 0.0
    """Square meters on the ground; smaller regions go to their neighbors, or are left out where
    they have none, see ``sieve``."""

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

    @property
    def changes_borders(self) -> bool:
        """Whether polygons are to be others than the map's own, right angles aside."""
        return self.min_area > 0 or self.smooth or self.simplify > 0


EXACT = Shaping()
"""Polygons as the map has them."""


def class_values(
    classes: Iterable[str | int],
    scheme: ClassScheme | None,
    numbers: Mapping[int, int] | None = None,
) -> tuple[int, ...]:
    """Class values of classes given by name or number.

    Args:
        classes: names, whatever their case, or numbers.
        scheme: the classes.
        numbers: by class value, the number that stands for it, if another.

    Raises:
        InputError: there is no such class.
    """
    known: dict[str, int] = {}
    for entry in scheme or ():
        known[entry.name.casefold()] = entry.value
    for entry in scheme or ():
        known.setdefault(str(numbers[entry.value] if numbers else entry.value), entry.value)
    found = []
    for wanted in [classes] if isinstance(classes, str | int) else classes:
        value = known.get(str(wanted).casefold())
        if value is None:
            near = get_close_matches(str(wanted).casefold(), list(known), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            names = ", ".join(scheme.names) if scheme else "none"
            raise InputError(f"no class is called {wanted!r}{hint}; there are: {names}")
        found.append(value)
    return tuple(found)
