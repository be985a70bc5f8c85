"""Quality layers: whole numbers that say which pixels of a scene to leave out.

By the name of a layer:

- ``SCL``, Sentinel-2's scene classification: no data (0), saturated or defective (1), cloud shadows
  (3), clouds of medium and high probability (8, 9) and thin cirrus (10) are left out. What may be
  ground stays in: dark areas (2), unclassified pixels (7), snow (11).
- ``QA_PIXEL``, of Landsat Collection 2: fill (bit 0), dilated clouds (1), cirrus (2), clouds (3)
  and their shadows (4) are left out. Snow (5) and water (7) stay in.
- ``Fmask``, of the harmonized products: clouds (bit 1), what is beside them (2) and their shadows
  (3) are left out; its fill (255) has all bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CONVENTIONS", "Quality", "known_quality"]


@dataclass(frozen=True)
class Quality:
    """A layer, and which of its numbers leave a pixel out."""

    path: str
    """The file: a local path, a URL, or one of GDAL's own."""

    band: int = 1
    """Position in the file, from 1."""

    values: tuple[int, ...] = ()
    """Numbers of pixels to leave out."""

    bits: int = 0
    """Pixels that have one of these bits are left out as well."""

    def __post_init__(self) -> None:
        if self.band < 1 or not 0 <= self.bits < 2**16:
            raise ValueError(f"a quality layer counts from 1 and has 16 bits, got {self!r}")
        if not all(0 <= value < 2**16 for value in self.values):
            raise ValueError(f"a quality layer has numbers of 16 bits, got {self.values}")

    def leaves_out(self, number: int) -> bool:
        """True for the number of a pixel that is not to be used."""
        return number in self.values or bool(number & self.bits)


CONVENTIONS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "scl": ((0, 1, 3, 8, 9, 10), 0),
    "qa_pixel": ((), 0b11111),
    "fmask": ((), 0b1110),
}
"""Values and bits that leave a pixel out, by the name of the layer in lower case."""


def known_quality(name: str, path: str) -> Quality | None:
    """The quality layer of a name; None if that names none."""
    found = CONVENTIONS.get(name.lower())
    return Quality(path, 1, *found) if found else None
