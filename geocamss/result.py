"""Result: a finished map, as its folder holds it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geocamss.output.areas import ClassArea
from geocamss.products import PRODUCTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A finished map: where its files are, and what it says."""

    folder: Path
    """The output folder."""

    classes: Path | None
    """Class map, a cloud-optimized GeoTIFF, uint8, 255 = no data."""

    confidence: Path | None
    """Probability of the class in percent, likewise."""

    polygons: Path | None
    """GeoPackage with the layer ``polygons``."""

    item: Path | None
    """STAC item."""

    preview: Path | None
    """Picture of scene and map side by side."""

    page: Path | None
    """Scene and map as one HTML file to look at."""

    areas: pd.DataFrame
    """One row a class: ``class``, ``name``, ``pixels``, ``area_m2``, ``share``, ``confidence``."""

    @classmethod
    def of(cls, folder: Path, products: Collection[str], areas: Collection[ClassArea]) -> Result:
        """The result in a folder.

        Args:
            folder: where the files are.
            products: names of the outputs that were written.
            areas: what was measured, by class.
        """

        def path(product: str) -> Path | None:
            return folder / PRODUCTS[product][0] if product in products else None

        return cls(
            folder=folder,
            classes=path("classes"),
            confidence=path("confidence"),
            polygons=path("polygons"),
            item=path("item"),
            preview=path("preview"),
            page=path("page"),
            areas=_table(areas),
        )


def _table(areas: Collection[ClassArea]) -> pd.DataFrame:
    import pandas as pd

    rows = [(a.value, a.name, a.pixels, a.area_m2, a.share, a.mean_confidence) for a in areas]
    columns = ["class", "name", "pixels", "area_m2", "share", "confidence"]
    return pd.DataFrame(rows, columns=columns).astype({"confidence": "float64"})
