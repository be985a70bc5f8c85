"""Legend: what a raster says of its classes' names and colors, in any of the usual ways.

Names are taken from tags ``CLASS_n`` (as in the maps that are made here), then from the raster
attribute table, then from GDAL's category names; colors from the attribute table, then from the
color table. Where nothing is said, a class is called by its number and gets a color of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil

from geocamss.classes import Class, ClassScheme
from geocamss.output.raster import quiet_gdal
from geocamss.scene.gdal import GDAL_ERRORS

__all__ = ["Legend", "read_legend", "told_apart"]

RGB = tuple[int, int, int]

_NAME_USAGES, _VALUE_USAGES = ("2",), ("5", "3")
_COLOR_USAGES = ("6", "7", "8")
_REAL, _TEXT = "1", "2"


class Legend:
    """Names and colors by number."""

    def __init__(self, names: Mapping[int, str], colors: Mapping[int, RGB]) -> None:
        """Keep them."""
        self.names = names
        self.colors = colors

    def scheme(self, numbers: Mapping[int, int]) -> ClassScheme | None:
        """The class scheme of a map.

        Args:
            numbers: by class value, the number in the raster.

        Returns:
            A class for each of the values; None if there is none.
        """
        names = told_apart({n: self.names.get(n) or f"class {n}" for n in numbers.values()})
        classes = []
        for value, number in numbers.items():
            name = names[number]
            default = ClassScheme.of(map(str, range(value + 1))).classes[-1]
            classes.append(Class(value, name, self.colors.get(number, default.color)))
        return ClassScheme(tuple(classes)) if classes else None


def told_apart(names: Mapping[int, str]) -> dict[int, str]:
    """Names by number, all different: those that repeat get their numbers behind them."""
    given = Counter(names.values())
    taken = {name for name, count in given.items() if count == 1}
    found = {}
    for number, name in names.items():
        unlike = name
        while given[name] > 1 and (unlike == name or unlike in taken):
            unlike += f" ({number})"
        taken.add(unlike)
        found[number] = unlike
    return found


def read_legend(path: Path, band: int = 1) -> Legend:
    """Find names and colors of a band in a raster and the files beside it."""
    with quiet_gdal(), rasterio.open(path) as source:
        tags = {**source.tags(), **source.tags(band)}
    described = _described(path, band)
    names: dict[int, str] = {}
    colors: dict[int, RGB] = {}
    if described is not None:
        entries = described.findall("CategoryNames/Category")
        names |= {k: entry.text for k, entry in enumerate(entries) if entry.text}
        table = [_color(entry.attrib) for entry in described.findall("ColorTable/Entry")]
        # Entries that nobody set are black, and fill the table up to its end.
        last = max((k for k, color in enumerate(table) if color != (0, 0, 0)), default=-1)
        colors |= dict(enumerate(table[: last + 1]))
        attributes = described.find("GDALRasterAttributeTable")
        if attributes is not None:
            more_names, more_colors = _attributes(attributes)
            names |= more_names
            colors |= more_colors
    for key, text in tags.items():
        match = re.fullmatch(r"CLASS_([0-9]{1,5})", key)
        if match and text.strip():
            names[int(match[1])] = text.strip()
    return Legend(names, colors)


def _described(path: Path, band: int) -> ET.Element | None:
    """A band as a VRT describes it: the way to what rasterio does not read."""
    name = f"/vsimem/{uuid4().hex}.vrt"
    try:
        with quiet_gdal():
            rasterio.shutil.copy(path, name, driver="VRT")
            with rasterio.open(name) as described:
                text = "".join(described.tags(ns="xml:VRT").values())
        root = ET.fromstring(text)  # noqa: S314  (GDAL has written it)
        return root.find(f"VRTRasterBand[@band='{band}']")
    except (*GDAL_ERRORS, ET.ParseError):
        return None
    finally:
        with quiet_gdal():
            _forget(name)


def _forget(name: str) -> None:
    try:
        rasterio.shutil.delete(name, driver="VRT")
    except GDAL_ERRORS:
        return


def _color(attributes: Mapping[str, str]) -> RGB:
    red, green, blue = (_byte(attributes.get(key, "0")) for key in ("c1", "c2", "c3"))
    return red, green, blue


def _byte(text: str, scale: float = 1.0) -> int:
    try:
        return min(255, max(0, round(float(text) * scale)))
    except ValueError:
        return 0


def _attributes(table: ET.Element) -> tuple[dict[int, str], dict[int, RGB]]:
    """Names and colors of a raster attribute table."""
    usages, titles, kinds = (
        [field.findtext(tag, "") for field in table.findall("FieldDefn")]
        for tag in ("Usage", "Name", "Type")
    )
    value = _column(usages, _VALUE_USAGES)
    if value is None:
        value = _titled(titles, ("value",))
    name = _column(usages, _NAME_USAGES)
    if name is None:
        name = _titled(titles, ("class", "class_name", "classname", "name", "label"))
    if name is None:
        name = _worded(titles, kinds)
    paint = [_column(usages, (usage,)) for usage in _COLOR_USAGES]
    names: dict[int, str] = {}
    colors: dict[int, RGB] = {}
    for index, row in enumerate(table.findall("Row")):
        cells = [cell.text or "" for cell in row.findall("F")]
        number = index if value is None else _number(cells[value])
        if number is None:
            continue
        if name is not None and cells[name].strip():
            names[number] = cells[name].strip()
        if all(column is not None for column in paint):
            parts = [
                (cells[c], 255.0 if kinds[c] == _REAL else 1.0) for c in paint if c is not None
            ]
            red, green, blue = (_byte(text, scale) for text, scale in parts)
            colors[number] = (red, green, blue)
    return names, colors


def _column(usages: list[str], wanted: Iterable[str]) -> int | None:
    return next((usages.index(usage) for usage in wanted if usage in usages), None)


def _titled(titles: list[str], wanted: Iterable[str]) -> int | None:
    lower = [title.strip().lower() for title in titles]
    return next((lower.index(title) for title in wanted if title in lower), None)


def _worded(titles: list[str], kinds: list[str]) -> int | None:
    """The only column of text, or of several the first that speaks of classes or names."""
    texts = [index for index, kind in enumerate(kinds) if kind == _TEXT]
    if len(texts) > 1:
        texts = [index for index in texts if re.search("class|name", titles[index], re.IGNORECASE)]
    return texts[0] if texts else None


def _number(text: str) -> int | None:
    try:
        return int(float(text))
    except (ValueError, OverflowError):  # no number, or none that is finite
        return None
