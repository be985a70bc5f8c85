"""Attributes: the class names and counts that GDAL keeps beside a class raster.

They stand in ``classes.tif.aux.xml``: a GeoTIFF has no room for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from geocamss.classes import ClassScheme
from geocamss.output.areas import ClassArea
from geocamss.output.markup import add

__all__ = ["category_names", "pam_xml", "write_pam"]

_INTEGER, _REAL, _TEXT = 0, 1, 2
"""GDAL's numbers for the types of columns."""

_COUNT, _NAME, _VALUE, _RED, _GREEN, _BLUE, _ALPHA = 1, 2, 5, 6, 7, 8, 9
"""GDAL's numbers for what columns mean."""

_GREATEST = 2**31 - 1
"""GDAL's integer columns hold no more."""


def category_names(scheme: ClassScheme) -> list[str]:
    """Names by value, from 0 to the highest; empty where there is no class."""
    known = scheme.by_value()
    return [known[v].name if v in known else "" for v in range(max(known) + 1)]


def write_pam(target: Path, scheme: ClassScheme, areas: Iterable[ClassArea] = ()) -> None:
    """Write what GDAL keeps beside a class raster: ``target`` is its name with ``.aux.xml``."""
    target.write_text(pam_xml(scheme, areas), "utf-8")


def pam_xml(scheme: ClassScheme, areas: Iterable[ClassArea] = ()) -> str:
    """GDAL's auxiliary file of a class raster: category names and a raster attribute table."""
    root = ET.Element("PAMDataset")
    band = add(root, "PAMRasterBand", band=1)
    names = add(band, "CategoryNames")
    for name in category_names(scheme):
        add(names, "Category", name)
    _add_table(band, scheme, {area.value: area.pixels for area in areas})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _add_table(band: ET.Element, scheme: ClassScheme, pixels: dict[int, int]) -> None:
    """The raster attribute table: a row a class, by value, with the numbers of pixels if known."""
    table = add(band, "GDALRasterAttributeTable", tableType="thematic")
    columns = [("Value", _INTEGER, _VALUE), ("Class", _TEXT, _NAME)]
    colors = (("Red", _RED), ("Green", _GREEN), ("Blue", _BLUE), ("Alpha", _ALPHA))
    columns += [(name, _INTEGER, usage) for name, usage in colors]
    if pixels:
        wide = max(pixels.values()) > _GREATEST
        columns.insert(1, ("Count", _REAL if wide else _INTEGER, _COUNT))
    for index, (name, kind, usage) in enumerate(columns):
        field = add(table, "FieldDefn", index=index)
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            add(field, tag, str(text))
    for index, entry in enumerate(sorted(scheme, key=lambda c: c.value)):
        row = add(table, "Row", index=index)
        count = [pixels.get(entry.value, 0)] if pixels else []
        for cell in (entry.value, *count, entry.name, *entry.color, 255):
            add(row, "F", str(cell))
