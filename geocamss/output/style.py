"""Style: class names and colors, in the forms that GDAL and QGIS read by themselves.

- ``classes.qml`` and ``confidence.qml`` beside the rasters: QGIS takes a style of the same name.
- ``classes.tif.aux.xml``: category names and a raster attribute table, for GDAL and others.
- the table ``layer_styles`` inside the GeoPackage: QGIS's default style for the polygons.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from geocamss.classes import Class, ClassScheme
from geocamss.output.areas import ClassArea

__all__ = [
    "Color",
    "category_names",
    "classes_qml",
    "color_table",
    "confidence_qml",
    "embed_style",
    "pam_xml",
    "polygons_qml",
    "write_pam",
    "write_qml",
]

Color = tuple[int, int, int, int]

_QGIS = "3.22.0"
"""The version whose layout the styles have; later ones read it."""

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

_OUTLINE = "35,35,35,110"

_DATE = "2000-01-01T00:00:00.000Z"
"""Stands for the time of writing, so that one map always gives the same bytes."""

CONFIDENCE_RAMP: tuple[tuple[int, Color], ...] = (
    (0, (68, 1, 84, 255)),
    (25, (59, 82, 139, 255)),
    (50, (33, 145, 140, 255)),
    (75, (94, 201, 98, 255)),
    (100, (253, 231, 37, 255)),
)
"""Percent and color: light where the map is sure, even in gray and for the color-blind."""


def color_table(scheme: ClassScheme) -> dict[int, Color]:
    """Red, green, blue and alpha of all 256 values; transparent where there is no class."""
    known = scheme.by_value()
    return {v: (*known[v].color, 255) if v in known else (0, 0, 0, 0) for v in range(256)}


def category_names(scheme: ClassScheme) -> list[str]:
    """Names by value, from 0 to the highest; empty where there is no class."""
    known = scheme.by_value()
    return [known[v].name if v in known else "" for v in range(max(known) + 1)]


def write_qml(target: Path, scheme: ClassScheme | None = None) -> None:
    """Write the style of a class raster; without a scheme, that of a confidence raster."""
    target.write_text(confidence_qml() if scheme is None else classes_qml(scheme), "utf-8")


def write_pam(target: Path, scheme: ClassScheme, areas: Iterable[ClassArea] = ()) -> None:
    """Write what GDAL keeps beside a class raster: ``target`` is its name with ``.aux.xml``."""
    target.write_text(pam_xml(scheme, areas), "utf-8")


def classes_qml(scheme: ClassScheme) -> str:
    """QGIS style of a class raster: one color and label a value."""
    root, renderer = _raster_style("paletted", nodataColor="")
    palette = ET.SubElement(renderer, "colorPalette")
    for entry in scheme:
        _add(
            palette,
            "paletteEntry",
            value=entry.value,
            color=entry.hex,
            alpha=255,
            label=_plain(entry.name),
        )
    return _qml(root)


def confidence_qml() -> str:
    """QGIS style of a confidence raster: a ramp from 0 to 100 percent."""
    low, high = CONFIDENCE_RAMP[0][0], CONFIDENCE_RAMP[-1][0]
    root, renderer = _raster_style(
        "singlebandpseudocolor",
        nodataColor="",
        classificationMin=low,
        classificationMax=high,
    )
    shader = ET.SubElement(renderer, "rastershader")
    ramp = _add(
        shader,
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode=1,
        clip=0,
        minimumValue=low,
        maximumValue=high,
        labelPrecision=0,
    )
    ramp.append(_color_ramp())
    for percent, color in CONFIDENCE_RAMP:
        _add(
            ramp,
            "item",
            value=percent,
            color="#{:02x}{:02x}{:02x}".format(*color[:3]),
            alpha=color[3],
            label=f"{percent} %",
        )
    return _qml(root)


def polygons_qml(scheme: ClassScheme) -> str:
    """QGIS style of the polygons: the class's color, a thin outline, one legend line a class."""
    root = _add(None, "qgis", version=_QGIS, styleCategories="Symbology")
    renderer = _add(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr="class",
        enableorderby=0,
        forceraster=0,
        symbollevels=0,
    )
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for number, entry in enumerate(scheme):
        _add(
            categories,
            "category",
            value=entry.value,
            type="long",
            symbol=number,
            label=_plain(entry.name),
            render="true",
        )
        symbols.append(_fill(str(number), entry))
    _add(root, "layerGeometryType").text = "2"
    return _qml(root)


def pam_xml(scheme: ClassScheme, areas: Iterable[ClassArea] = ()) -> str:
    """GDAL's auxiliary file of a class raster: category names and a raster attribute table."""
    pixels = {area.value: area.pixels for area in areas}
    root = ET.Element("PAMDataset")
    band = _add(root, "PAMRasterBand", band=1)
    names = ET.SubElement(band, "CategoryNames")
    for name in category_names(scheme):
        _add(names, "Category").text = _plain(name)
    table = _add(band, "GDALRasterAttributeTable", tableType="thematic")
    # Name, type (0 integer, 2 text) and usage, by GDAL's numbers.
    columns = [("Value", 0, 5), ("Class", 2, 2)]
    columns += [("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Alpha", 0, 9)]
    if pixels:
        columns.insert(1, ("Count", 0, 1))
    for index, (name, kind, usage) in enumerate(columns):
        field = _add(table, "FieldDefn", index=index)
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            _add(field, tag).text = str(text)
    for index, entry in enumerate(sorted(scheme, key=lambda c: c.value)):
        row = _add(table, "Row", index=index)
        count = [pixels.get(entry.value, 0)] if pixels else []
        for cell in (entry.value, *count, entry.name, *entry.color, 255):
            _add(row, "F").text = _plain(str(cell))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def embed_style(geopackage: Path, layer: str, scheme: ClassScheme, geometry: str = "geom") -> None:
    """Put the polygons' style into a GeoPackage as the layer's default."""
    with closing(sqlite3.connect(geopackage)) as database, database:
        database.execute("PRAGMA journal_mode = MEMORY")  # leaves no file beside, even if killed
        database.execute(
            "CREATE TABLE layer_styles ("
            "id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
            "f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), "
            "f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, "
            "useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner, "
            "update_time) VALUES ('', '', ?, ?, 'classes', ?, '', 1, 'Class names and colors', "
            "'', ?)",
            (layer, geometry, polygons_qml(scheme), _DATE),
        )
        # QGIS finds the table only where GDAL lists it as a layer, which needs an entry here.
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, "
            "last_change, srs_id) VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
            (_DATE,),
        )


def _raster_style(kind: str, **attributes: Any) -> tuple[ET.Element, ET.Element]:
    """A raster style, and its renderer to fill."""
    root = _add(None, "qgis", version=_QGIS, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = _add(
        pipe, "rasterrenderer", type=kind, band=1, opacity=1, alphaBand=-1, **attributes
    )
    ET.SubElement(renderer, "rasterTransparency")
    _add(pipe, "brightnesscontrast", brightness=0, contrast=0, gamma=1)
    _add(pipe, "huesaturation", saturation=0, grayscaleMode=0, colorizeOn=0)
    _add(pipe, "rasterresampler", maxOversampling=2)
    _add(root, "blendMode").text = "0"
    return root, renderer


def _color_ramp() -> ET.Element:
    """The ramp as QGIS shows it in its dialog."""
    (_, first), *between, (_, last) = CONFIDENCE_RAMP
    stops = ":".join(f"{percent / 100};{_rgba(color)}" for percent, color in between)
    ramp = _add(None, "colorramp", type="gradient", name="[source]")
    _options(ramp, color1=_rgba(first), color2=_rgba(last), stops=stops, rampType="gradient")
    return ramp


def _fill(name: str, entry: Class) -> ET.Element:
    symbol = _add(None, "symbol", type="fill", name=name, alpha=1, clip_to_extent=1, force_rhr=0)
    layer = _add(symbol, "layer", **{"class": "SimpleFill"}, enabled=1, locked=0)
    layer.set("pass", "0")
    _options(
        layer,
        color=_rgba((*entry.color, 255)),
        style="solid",
        outline_color=_OUTLINE,
        outline_style="solid",
        outline_width="0.1",
        outline_width_unit="MM",
        joinstyle="miter",
    )
    return symbol


def _options(parent: ET.Element, **values: str) -> None:
    """Properties, as QGIS writes them now and as it wrote them before 3.20."""
    now = _add(parent, "Option", type="Map")
    for key, value in values.items():
        _add(now, "Option", name=key, type="QString", value=value)
    for key, value in values.items():
        _add(parent, "prop", k=key, v=value)


def _add(parent: ET.Element | None, tag: str, **attributes: Any) -> ET.Element:
    texts = {key: str(value) for key, value in attributes.items()}
    return ET.Element(tag, texts) if parent is None else ET.SubElement(parent, tag, texts)


def _rgba(color: Color) -> str:
    return ",".join(str(part) for part in color)


def _plain(text: str) -> str:
    """What XML can hold of a text: no control characters, no lone surrogates."""
    return "".join(c if c.isprintable() or c == "\u00a0" else "\ufffd" for c in text)


def _qml(root: ET.Element) -> str:
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
