"""One band of a scene, as its file describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MAX_BANDS", "Mask", "SceneBand"]

MAX_BANDS = 10_000
"""More bands than any spectrometer has."""

Mask = Literal["none", "nodata", "alpha", "dataset", "band"]
"""What tells which pixels of a band are valid: nothing, the nodata value, the alpha band although
GDAL heeds the nodata value beside it, or a mask that GDAL gives for the whole dataset or for this
band."""


@dataclass(frozen=True)
class SceneBand:
    """An image band of a scene."""

    index: int
    """Position in the file, from 1."""

    name: str | None
    """Common name (see ``bands.COMMON_BANDS``), or None if nothing tells."""

    label: str
    """What the file calls it, for messages; may be empty."""

    wavelength: float | None
    """Center, in micrometers."""

    dtype: str
    """Data type of the values that a reader gives, by numpy's name."""

    scale: float = 1.0
    """Physical units per stored unit; 1 where the file declares none."""

    offset: float = 0.0
    """Physical units at stored 0; 0 where the file declares none."""

    nodata: float | None = None
    """Marker of missing pixels, as the file declares it."""

    mask: Mask = "none"
    """What tells which of its pixels are valid."""

    color: int | None = None
    """Column of the color table, 0 to 2, that turns the stored index into this band."""

    tile_rows: int = 1
    """Rows of the file's own tiles, which are decoded whole."""

    assumed: bool = False
    """True if its name is custom, and nothing in the file says it."""

    @property
    def declared(self) -> tuple[float, float] | None:
        """Scale and offset; None where the file declares none, so that the card's count."""
        said = self.scale, self.offset
        return None if said == (1.0, 0.0) else said

    def __str__(self) -> str:
        said = f"{self.index}: {self.name or 'unknown'}"
        if self.label and self.label.lower() != self.name:
            said += f" ({self.label!r})"
        return said + (f" {self.wavelength:g} µm" if self.wavelength else "")
