"""Styles: what GDAL and QGIS find in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geocamss.classes import NODATA, Class, ClassScheme
from geocamss.output.areas import class_areas
from geocamss.output.polygons import polygonize
from geocamss.output.style import (
    category_names,
    classes_qml,
    color_table,
    confidence_qml,
    pam_xml,
    polygons_qml,
    write_pam,
    write_qml,
)

from .maps import SCHEME, write_map


def parsed(text: str) -> ET.Element:
    """Parse what the code under test wrote; a document type stands on a line of its own."""
    return ET.fromstring(text.split("\n", 1)[1] if text.startswith("<!") else text)  # noqa: S314


SPARSE = ClassScheme((Class(7, "b", (1, 2, 3)), Class(2, "a", (255, 0, 9))))


def test_the_color_table_has_every_value_and_shows_classes_only():
    table = color_table(SPARSE)
    assert sorted(table) == list(range(256))
    assert table[7] == (1, 2, 3, 255)
    assert {v for v, color in table.items() if color[3]} == {2, 7}


def test_rasterio_writes_the_color_table(tmp_path):
    path = write_map(tmp_path / "c.tif", np.zeros((2, 2), np.uint8))
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, color_table(SCHEME))
    with rasterio.open(path) as source:
        read = source.colormap(1)
    assert all(read[c.value][:3] == c.color for c in SCHEME)


def test_category_names_stand_at_their_values():
    assert category_names(SPARSE) == ["", "", "a", "", "", "", "", "b"]


def test_the_raster_style_lists_classes_in_their_order():
    root = parsed(classes_qml(SPARSE))
    assert root.find("pipe/rasterrenderer").get("type") == "paletted"
    entries = root.findall("pipe/rasterrenderer/colorPalette/paletteEntry")
    assert [(e.get("value"), e.get("label"), e.get("color")) for e in entries] == [
        ("7", "b", "#010203"),
        ("2", "a", "#ff0009"),
    ]


def test_the_confidence_style_ramps_from_0_to_100():
    root = parsed(confidence_qml())
    items = root.findall(".//colorrampshader/item")
    assert [e.get("value") for e in items] == ["0", "25", "50", "75", "100"]


def test_the_polygon_style_has_one_symbol_a_class():
    root = parsed(polygons_qml(SCHEME))
    renderer = root.find("renderer-v2")
    assert renderer.get("attr") == "class"
    symbols = {s.get("name"): s for s in renderer.findall("symbols/symbol")}
    for entry, category in zip(SCHEME, renderer.findall("categories/category"), strict=True):
        assert category.get("value") == str(entry.value)
        assert category.get("label") == entry.name
        color = symbols[category.get("symbol")].find("layer/Option/Option[@name='color']")
        assert color.get("value") == ",".join(map(str, (*entry.color, 255)))


@given(st.text(min_size=1, max_size=20).filter(str.strip))
def test_any_name_makes_sound_xml(name):
    scheme = ClassScheme((Class(0, name, (1, 2, 3)),))
    for text in (classes_qml(scheme), polygons_qml(scheme), pam_xml(scheme)):
        root = parsed(text)
        labels = [e.get("label") for e in root.iter() if e.get("label")]
        labels += [e.text for e in root.iter("Category")]
        shown = labels[0]
        assert len(shown) == len(name)
        if name.isprintable():
            assert shown == name


def test_gdal_reads_the_auxiliary_file_of_a_raster(tmp_path):
    path = write_map(tmp_path / "classes.tif", np.array([[0, 1, 1, NODATA]], np.uint8))
    areas = class_areas(path, None, SCHEME)
    write_pam(tmp_path / "classes.tif.aux.xml", SCHEME, areas)
    with rasterio.open(path) as source:
        assert str(tmp_path / "classes.tif.aux.xml") in source.files
    rows = parsed((tmp_path / "classes.tif.aux.xml").read_text("utf-8")).findall(".//Row")
    cells = [[f.text for f in row.findall("F")] for row in rows]
    assert [row[:3] for row in cells] == [[str(a.value), str(a.pixels), a.name] for a in areas]


def test_styles_are_written_as_utf_8(tmp_path):
    write_qml(tmp_path / "classes.qml", SCHEME)
    write_qml(tmp_path / "confidence.qml")
    assert "Gebäude &amp; &lt;Hof&gt;" in (tmp_path / "classes.qml").read_text("utf-8")
    assert "singlebandpseudocolor" in (tmp_path / "confidence.qml").read_text("utf-8")


@pytest.fixture
def geopackage(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.array([[0, 1]], np.uint8))
    polygonize(classes, None, tmp_path / "polygons.gpkg", SCHEME)
    return tmp_path / "polygons.gpkg"


def test_the_geopackage_holds_one_default_style_of_its_layer(geopackage):
    with closing(sqlite3.connect(geopackage)) as database:
        (row,) = database.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        columns = database.execute("SELECT column_name FROM gpkg_geometry_columns").fetchall()
        problems = database.execute("PRAGMA integrity_check").fetchall()
        tables = database.execute("PRAGMA foreign_key_check").fetchall()
    assert row == ("polygons", "geom", 1, polygons_qml(SCHEME))
    assert columns == [("geom",)]
    assert problems == [("ok",)]
    assert tables == []
