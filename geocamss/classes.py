"""Classes: what the values of a class map mean, and how they are drawn."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NODATA", "Class", "ClassScheme"]

NODATA = 255
"""The value of a class map, and of a confidence map, where there is no data."""

MAX_CLASSES = 255
"""Values 0 to 254; 255 is nodata."""

_GOLDEN_ANGLE = 0.6180339887498949


@dataclass(frozen=True)
class Class:
    """One class of a map."""

    value: int
    """The pixel value, 0 to 254."""

    name: str
    """What a legend calls it."""

    color: tuple[int, int, int]
    """Red, green and blue, each 0 to 255."""

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise ValueError(f"class value must be an integer, got {self.value!r}")
        if not 0 <= self.value < NODATA:
            raise ValueError(f"class value must be 0 to {NODATA - 1}, got {self.value}")
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"class {self.value} needs a name, got {self.name!r}")
        color = tuple(self.color) if isinstance(self.color, Sequence) else ()
        if len(color) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in color):
            raise ValueError(
                f"class {self.name!r} needs a color of three numbers 0 to 255, got {self.color!r}"
            )
        object.__setattr__(self, "color", color)

    @property
    def hex(self) -> str:
        """The color as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)


@dataclass(frozen=True)
class ClassScheme:
    """The classes of a map, in the order of the model's output channels."""

    classes: tuple[Class, ...]
    """Channel k of the model's output is ``classes[k]``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"a class scheme has 1 to {MAX_CLASSES} classes, got {len(self.classes)}"
            )
        for what in ("value", "name"):
            seen = [getattr(c, what) for c in self.classes]
            twice = sorted({x for x in seen if seen.count(x) > 1})
            if twice:
                raise ValueError(f"class {what}s must differ, got {twice[0]!r} twice")

    @classmethod
    def of(cls, classes: ClassScheme | Iterable[Any]) -> ClassScheme:
        """Build a scheme from names, mappings or ``Class`` objects; missing parts get defaults.

        A name alone takes its position as value and a color from a fixed, well-spread series.

        Raises:
            ValueError: ``classes`` is no list, an entry is of none of these forms, or a value or
                name repeats.
        """
        if isinstance(classes, ClassScheme):
            return classes
        if isinstance(classes, (str, Mapping)) or not isinstance(classes, Iterable):
            raise ValueError(f"classes must be a list, got {classes!r}")
        return cls(tuple(_entry(index, item) for index, item in enumerate(classes)))

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[Class]:
        return iter(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, by channel."""
        return tuple(c.name for c in self.classes)

    @property
    def values(self) -> tuple[int, ...]:
        """The pixel values, by channel."""
        return tuple(c.value for c in self.classes)

    def by_value(self) -> Mapping[int, Class]:
        """The classes by pixel value."""
        return {c.value: c for c in self.classes}

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values, as they stand in a model file's card."""
        return [{"value": c.value, "name": c.name, "color": list(c.color)} for c in self.classes]


def _entry(index: int, item: Any) -> Class:
    if isinstance(item, Class):
        return item
    if isinstance(item, str):
        return Class(index, item, _default_color(index))
    if isinstance(item, Mapping):
        unknown = sorted(set(item) - {"value", "name", "color"})
        if unknown or "name" not in item:
            raise ValueError(f"a class has name, value and color, got {dict(item)!r}")
        return Class(
            item.get("value", index), item["name"], item.get("color", _default_color(index))
        )
    raise ValueError(f"a class is a name or a mapping, got {item!r}")


def _default_color(index: int) -> tuple[int, int, int]:
    """A color far from its neighbors': hues a golden angle apart, three lightness levels."""
    hue = (0.08 + index * _GOLDEN_ANGLE) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, (0.5, 0.65, 0.38)[index % 3], 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)
