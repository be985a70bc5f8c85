"""Fabric: the ways in which a quarter is built up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FABRICS", "Fabric"]

Range = tuple[float, float]
"""Least and largest value; each quarter or building draws its own."""


@dataclass(frozen=True)
class Fabric:
    """How lots are cut and built on; lengths in meters at true size."""

    name: str
    """The use of the quarter."""

    depth: Range
    """Depth of a lot, away from its street."""

    frontage: Range
    """Width of a lot along its street."""

    ranks: int
    """Rows of lots between a street and the middle of its block."""

    length: Range
    """Length of a building along the street, as a share of the frontage."""

    deep: Range
    """Depth of a building, as a share of the lot behind the sidewalk."""

    setback: Range
    """From the sidewalk to the front."""

    gap: float
    """Least distance to anything else that stands there."""

    height: Range
    """Of a building."""

    wing: float
    """Chance of an L instead of a rectangle."""

    pitched: float
    """Chance of a pitched roof, times that of the climate."""

    vacant: float
    """Chance of an empty lot."""

    trees: float
    """Trees, against those of a suburb."""

    large: bool
    """Whether it has the roofs of large buildings, and paved yards."""


FABRICS = {
    fabric.name: fabric
    for fabric in (
        Fabric(
            name="suburb",
            depth=(18, 26),
            frontage=(15, 26),
            ranks=1,
            length=(0.45, 0.72),
            deep=(0.42, 0.62),
            setback=(1, 5),
            gap=1.2,
            height=(3, 8),
            wing=0.45,
            pitched=1.0,
            vacant=0.1,
            trees=1.0,
            large=False,
        ),
        Fabric(
            name="villas",
            depth=(16, 24),
            frontage=(13, 20),
            ranks=1,
            length=(0.68, 0.88),
            deep=(0.6, 0.85),
            setback=(0.5, 2.5),
            gap=0.8,
            height=(5, 9),
            wing=0.6,
            pitched=0.7,
            vacant=0.06,
            trees=0.8,
            large=False,
        ),
        Fabric(
            name="terraces",
            depth=(15, 20),
            frontage=(6, 9),
            ranks=1,
            length=(1.0, 1.0),
            deep=(0.55, 0.8),
            setback=(0.5, 1.2),
            gap=-0.8,
            height=(6, 13),
            wing=0.0,
            pitched=1.1,
            vacant=0.05,
            trees=0.6,
            large=False,
        ),
        Fabric(
            name="huts",
            depth=(8, 12),
            frontage=(7, 12),
            ranks=2,
            length=(0.7, 0.97),
            deep=(0.7, 0.97),
            setback=(0, 0.8),
            gap=0.2,
            height=(2.5, 4.5),
            wing=0.25,
            pitched=0.9,
            vacant=0.15,
            trees=0.4,
            large=False,
        ),
        Fabric(
            name="works",
            depth=(34, 55),
            frontage=(30, 60),
            ranks=1,
            length=(0.55, 0.88),
            deep=(0.5, 0.92),
            setback=(1, 4),
            gap=2.0,
            height=(5, 12),
            wing=0.4,
            pitched=0.25,
            vacant=0.15,
            trees=0.25,
            large=True,
        ),
        Fabric(
            name="towers",
            depth=(30, 44),
            frontage=(32, 55),
            ranks=1,
            length=(0.4, 0.7),
            deep=(0.45, 0.75),
            setback=(2, 6),
            gap=3.0,
            height=(14, 55),
            wing=0.4,
            pitched=0.0,
            vacant=0.12,
            trees=0.45,
            large=True,
        ),
    )
}
"""The fabrics, by name."""
