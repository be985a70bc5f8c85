"""Style: what QGIS reads by itself of names and colors.

- ``classes.qml`` and others beside the rasters: QGIS takes a style of the same name.
- the table ``layer_styles`` inside the GeoPackage: the default style of the polygons.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from geocamss.classes import ClassScheme
from geocamss.output.colors import Ramp
from geocamss.output.markup import add, document
from geocamss.output.renderers import class_pipe, class_symbols, ramp_pipe

__all__ = ["QGIS_VERSION", "embed_style", "polygons_qml", "raster_qml", "write_qml"]

QGIS_VERSION = "3.22.0"
"""The version whose layout the files have; later ones read it."""

_DATE = "2000-01-01T00:00:00.000Z"
"""Stands for the time of writing, so that one map always gives the same bytes."""


def write_qml(target: Path, look: ClassScheme | Ramp) -> None:
    """Write the style of a class raster, or of a raster of some quantity."""
    target.write_text(raster_qml(look), "utf-8")


def raster_qml(look: ClassScheme | Ramp) -> str:
    """QGIS style of a raster: its classes, or the ramp of its quantity."""
    root = _style()
    root.append(ramp_pipe(look) if isinstance(look, Ramp) else class_pipe(look))
    add(root, "blendMode", "0")
    return document(root)


def polygons_qml(scheme: ClassScheme, numbers: Mapping[int, int] | None = None) -> str:
    """QGIS style of the polygons; ``numbers`` as for ``class_symbols``."""
    root = _style()
    root.append(class_symbols(scheme, numbers))
    add(root, "layerGeometryType", "2")
    return document(root)


def embed_style(
    geopackage: Path,
    layer: str,
    scheme: ClassScheme,
    geometry: str = "geom",
    numbers: Mapping[int, int] | None = None,
) -> None:
    """Put the polygons' style into a GeoPackage as the layer's default.

    Args:
        geopackage: the file.
        layer: the layer's name.
        scheme: the classes.
        geometry: the layer's geometry column.
        numbers: by class value, the number that the field ``class`` has for it, if another.
    """
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
            (layer, geometry, polygons_qml(scheme, numbers), _DATE),
        )
        # QGIS finds the table only where GDAL lists it as a layer, which needs an entry here.
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, "
            "last_change, srs_id) VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
            (_DATE,),
        )


def _style() -> ET.Element:
    return add(None, "qgis", version=QGIS_VERSION, styleCategories="Symbology")
