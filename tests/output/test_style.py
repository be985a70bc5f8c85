"""Styles: what GDAL and QGIS find in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geocamss.classes import NODATA, Class, ClassScheme
from geocamss.output.areas import class_areas
from geocamss.output.attributes import category_names, pam_xml, write_pam
from geocamss.output.colors import CONFIDENCE, UNCERTAINTY, Ramp, color_table
from geocamss.output.polygons import polygonize
from geocamss.output.style import polygons_qml, raster_qml, write_qml

from .maps import SCHEME, write_map


def parsed(text: str) -> ET.Element:
    """Parse what the code under test wrote; a document type stands on a line of its own."""
    return ET.fromstring(text.split("\n", 1)[1] if text.startswith("<!") else text)  # noqa: S314 (our own text)


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
    root = parsed(raster_qml(SPARSE))
    assert root.find("pipe/rasterrenderer").get("type") == "paletted"
    entries = root.findall("pipe/rasterrenderer/colorPalette/paletteEntry")
    assert [(e.get("value"), e.get("label"), e.get("color")) for e in entries] == [
        ("7", "b", "#010203"),
        ("2", "a", "#ff0009"),
    ]


def test_the_confidence_style_ramps_from_0_to_100():
    root = parsed(raster_qml(CONFIDENCE))
    items = root.findall(".//colorrampshader/item")
    assert [float(e.get("value")) for e in items] == [0, 25, 50, 75, 100]
    assert [e.get("label") for e in items] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=2, max_size=9),
    st.integers(1, 300),
)
def test_a_ramp_begins_and_ends_with_its_colors(low, width, colors, band):
    ramp = Ramp(low, low + width, tuple(colors), "nat", band)
    root = parsed(raster_qml(ramp))
    renderer = root.find("pipe/rasterrenderer")
    assert int(renderer.get("band")) == band
    items = renderer.findall(".//colorrampshader/item")
    values = [float(e.get("value")) for e in items]
    assert values[0] == ramp.low
    assert values[-1] == pytest.approx(ramp.high)
    assert np.diff(values) == pytest.approx(width / (len(colors) - 1), rel=1e-3)
    shown = [e.get("color") for e in items]
    assert shown == ["#{:02x}{:02x}{:02x}".format(*color[:3]) for color in colors]
    assert all(e.get("label").endswith(" nat") for e in items)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 1.0, "high": 1.0}, "low to high"),
        ({"high": float("inf")}, "inf"),
        ({"colors": ((0, 0, 0, 255),)}, "two colors"),
        ({"band": 0}, "got 0"),
    ],
)
def test_what_is_no_ramp_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        replace(UNCERTAINTY, **given)


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
    for text in (raster_qml(scheme), polygons_qml(scheme), pam_xml(scheme)):
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


def test_counts_beyond_the_integers_of_gdal_are_kept(tmp_path):
    path = write_map(tmp_path / "classes.tif", np.zeros((1, 1), np.uint8))
    areas = [replace(a, pixels=2**40 + 1) for a in class_areas(path, None, SCHEME)]
    root = parsed(pam_xml(SCHEME, areas))
    fields = {f.find("Name").text: f.find("Type").text for f in root.iter("FieldDefn")}
    assert fields["Count"] == "1"  # a real number
    assert fields["Value"] == "0"
    assert [row.findall("F")[1].text for row in root.iter("Row")] == [str(2**40 + 1)] * len(SCHEME)


def test_styles_are_written_as_utf_8(tmp_path):
    write_qml(tmp_path / "classes.qml", SCHEME)
    write_qml(tmp_path / "confidence.qml", CONFIDENCE)
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
