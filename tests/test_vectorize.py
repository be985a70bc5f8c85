"""Any class raster becomes polygons, in three formats, with the names and colors that it has."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
import warnings
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import geopandas
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio import features
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

import geocamss
from geocamss.cli.main import main
from geocamss.errors import (
    BandError,
    GeocamssWarning,
    InputError,
    OutputError,
    ReadError,
    SceneError,
)
from geocamss.output import features as features_module
from geocamss.output import polygons
from geocamss.output.classmap import ClassMap
from geocamss.output.legend import read_legend
from geocamss.output.scheme import read_scheme
from geocamss.vectorize import vectorize

from .output.maps import NORTH_UP, UTM, landscape, write_map

FORMATS = (".gpkg", ".parquet", ".fgb")
FIELDS = ["class", "name", "confidence", "area_m2", "perimeter_m"]


def read(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="polygons")


def burned(frame, like: Path, dtype: str = "int32", fill: int = -1) -> np.ndarray:
    """The raster that the polygons make, by the class field."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(like) as source:
            shape, transform, crs = source.shape, source.transform, source.crs
    if crs is None and transform.is_identity:
        transform = Affine.scale(1, -1)
    if not len(frame):
        return np.full(shape, fill, dtype)
    pairs = zip(frame.geometry, frame["class"].tolist(), strict=True)
    return features.rasterize(pairs, out_shape=shape, fill=fill, transform=transform, dtype=dtype)


def named(path: Path, categories=(), rows=()) -> None:
    """Put category names and an attribute table beside a raster, as GDAL does."""
    names = "".join(f"<Category>{name}</Category>" for name in categories)
    columns = (("Value", 0, 5), ("Class", 2, 2), ("R", 0, 6), ("G", 0, 7), ("B", 0, 8))
    fields = "".join(
        f'<FieldDefn index="{k}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage>'
        "</FieldDefn>"
        for k, (name, kind, usage) in enumerate(columns)
    )
    cells = "".join(
        f'<Row index="{k}">' + "".join(f"<F>{escape(str(cell))}</F>" for cell in row) + "</Row>"
        for k, row in enumerate(rows)
    )
    table = f"<GDALRasterAttributeTable>{fields}{cells}</GDALRasterAttributeTable>" if rows else ""
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames>{table}'
        "</PAMRasterBand></PAMDataset>"
    )


@pytest.mark.parametrize("ending", FORMATS)
def test_formats_hold_the_same_and_come_back_pixel_for_pixel(tmp_path, ending):
    pixels = landscape(60, 70)
    percent = np.where(pixels == 255, 255, 7 * pixels + 50).astype(np.uint8)
    percent[pixels == 4] = 255
    raster = write_map(tmp_path / "Karte für Gäste.tif", pixels)
    confidence = write_map(tmp_path / "confidence.tif", percent)
    out = tmp_path / f"Flächen (neu){ending}"
    done = vectorize(raster, out, confidence=confidence)
    frame = read(out)
    assert (done.path, done.polygons) == (out, len(frame))
    assert list(frame.columns) == [*FIELDS, "geometry"]
    assert frame.crs.to_epsg() == 32633
    assert np.array_equal(burned(frame, raster, fill=255), pixels)
    assert frame.confidence.isna().tolist() == (frame["class"] == 4).tolist()
    known = frame[frame["class"] != 4]
    np.testing.assert_allclose(known.confidence, 7 * known["class"] + 50)
    np.testing.assert_allclose(frame.area_m2, frame.area, rtol=2e-3)
    np.testing.assert_allclose(frame.perimeter_m, frame.length, rtol=2e-3)
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.values)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [raster.name, confidence.name, out.name]
    )


def test_geoparquet_says_what_the_standard_asks_for(tmp_path):
    raster = write_map(tmp_path / "c.tif", landscape(40, 50))
    vectorize(raster, tmp_path / "o.parquet")
    file = pyarrow.parquet.ParquetFile(tmp_path / "o.parquet")
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"] == "1.1.0"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    frame = geopandas.read_parquet(tmp_path / "o.parquet")
    np.testing.assert_allclose(column["bbox"], frame.total_bounds)
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    left, bottom, right, top = frame.total_bounds
    box = (left, bottom, (left + right) / 2, (bottom + top) / 2)
    part = geopandas.read_parquet(tmp_path / "o.parquet", bbox=box)
    assert 0 < len(part) < len(frame)
    assert len(part) == shapely.intersects(shapely.box(*box), frame.envelope).sum()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(1e-4, 0, 10, 0, -1e-4, 60)),
        ("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5)),
        ("EPSG:32633", Affine(10, 0, 5e5, 0, 10, 5e6)),
        ("EPSG:32633", Affine.translation(5e5, 5e6) * Affine.rotation(30) * Affine.scale(10, -10)),
        (None, Affine.identity()),
    ],
)
def test_any_place_comes_back(tmp_path, ending, crs, transform):
    pixels = landscape(30, 40)
    raster = write_map(tmp_path / "c.tif", pixels, crs and CRS.from_string(crs), transform)
    vectorize(raster, tmp_path / f"o{ending}")
    frame = read(tmp_path / f"o{ending}")
    assert np.array_equal(burned(frame, raster, fill=255), pixels)
    if crs:
        assert frame.crs.to_epsg() == int(crs.split(":")[1])
    else:
        assert frame.total_bounds.tolist() == [0, -30, 40, 0]
        np.testing.assert_array_equal(frame.perimeter_m, frame.length)


@pytest.mark.parametrize("ending", FORMATS)
def test_all_nodata_gives_an_empty_layer_with_its_fields(tmp_path, ending):
    raster = write_map(tmp_path / "c.tif", np.full((4, 5), 255, np.uint8))
    done = vectorize(raster, tmp_path / f"o{ending}", simplify=10, smooth=True, min_area=50)
    frame = read(tmp_path / f"o{ending}")
    assert (done.polygons, len(frame), done.classes) == (0, 0, ())
    assert list(frame.columns) == [*FIELDS, "geometry"]


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"min_area": 90, "smooth": True, "simplify": 30}])
def test_lines_of_pixels(tmp_path, shape, options):
    pixels = (np.arange(40) // 7 % 3).astype(np.uint8)[: max(shape)].reshape(shape)
    raster = write_map(tmp_path / "c.tif", pixels)
    vectorize(raster, tmp_path / "o.gpkg", **options)
    assert np.array_equal(burned(read(tmp_path / "o.gpkg"), raster), pixels)


def test_255_classes_and_no_names(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    raster = write_map(tmp_path / "c.tif", pixels)
    done = vectorize(raster, tmp_path / "o.gpkg")
    assert done.polygons == len(done.classes) == 255
    assert set(done.classes) == {f"class {value}" for value in range(255)}


def test_a_mask_of_0_and_255_without_nodata_has_both(tmp_path):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[5:12, 6:20] = 255
    raster = write_map(tmp_path / "c.tif", pixels, nodata=None)
    for ending in FORMATS:
        vectorize(raster, tmp_path / f"o{ending}")
        frame = read(tmp_path / f"o{ending}")
        assert frame["class"].tolist() == [255, 0]
        assert frame.name.tolist() == ["class 255", "class 0"]
        assert np.array_equal(burned(frame, raster), pixels)
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as database:
        (qml,) = database.execute("SELECT styleQML FROM layer_styles").fetchone()
    assert 'value="255"' in qml


def test_large_and_negative_numbers_are_classes_too(tmp_path):
    pixels = np.array([[111, 111, -5], [523, 30000, 0]], dtype=np.int16)
    raster = write_map(tmp_path / "c.tif", pixels, nodata=0)
    named(raster, rows=[(111, "urban fabric", 230, 0, 77), (523, "sea", 230, 242, 255)])
    done = vectorize(raster, tmp_path / "o.gpkg")
    frame = read(tmp_path / "o.gpkg")
    assert set(done.classes) == {"urban fabric", "sea", "class -5", "class 30000"}
    assert np.array_equal(burned(frame, raster, fill=0), pixels)
    assert frame.set_index("class").name[523] == "sea"


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("values", [(0, 1, 7, 254), (-5, 0, 40_000, 2**23)])
def test_real_numbers_that_are_whole_are_classes(tmp_path, kind, values):
    """As raster calculators write them; what is no finite number has no data."""
    pixels = np.array(values, kind)[landscape(30, 40) % 4]
    pixels[:3, :5] = np.nan
    pixels[20:22, 7:9] = np.inf
    for nodata in (None, np.nan, -9999):
        pixels[10, 10:20] = np.nan if nodata is None else nodata
        raster = write_map(tmp_path / "c.tif", pixels, nodata=nodata)
        named(raster, ["nothing", "something"])
        vectorize(raster, tmp_path / "o.gpkg", overwrite=True)
        frame = read(tmp_path / "o.gpkg")
        known = np.isfinite(pixels) & (pixels != -9999)
        assert np.array_equal(burned(frame, raster), np.where(known, pixels, -1))
        assert "int" in str(frame["class"].dtype)
        assert (frame.name[frame["class"] == 0] == "nothing").all()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (2.5, r"c\.tif: class values are whole numbers, found 2\.5 in band 1.*round it"),
        (1e30, rf"at most {2**63 - 1}, found 1e\+30; declare it as nodata"),
        (-3.4e38, rf"at most {2**63 - 1}, found -3\.4.*e\+38; declare it as nodata"),
    ],
)
def test_real_numbers_that_are_no_classes_are_told(tmp_path, number, said):
    raster = write_map(tmp_path / "c.tif", np.array([[0, 1, number]]), nodata=None)
    with pytest.raises(SceneError, match=said):
        vectorize(raster, tmp_path / "o.gpkg")
    with pytest.raises(ReadError, match="class values are 0 to 254"):
        list(ClassMap.open(raster).bands())


def stacked(path: Path, bands, **profile) -> Path:
    """A raster of several bands."""
    with rasterio.open(
        path, "w", driver="GTiff", dtype=bands[0].dtype, count=len(bands), height=len(bands[0]),
        width=bands[0].shape[1], crs=UTM, transform=NORTH_UP, **profile,
    ) as target:  # fmt: skip
        target.write(np.stack(bands))
    return path


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_any_band_can_be_chosen(tmp_path, interleave):
    years = [landscape(50, 60, seed) for seed in range(3)]
    years = [np.where(year == 255, 0, year) for year in years]
    raster = stacked(tmp_path / "c.tif", years, photometric="minisblack", interleave=interleave)
    Path(f"{raster}.aux.xml").write_text(
        "<PAMDataset>"
        + "".join(
            f'<PAMRasterBand band="{k}"><CategoryNames><Category>year {k}</Category>'
            "</CategoryNames></PAMRasterBand>"
            for k in (1, 2, 3)
        )
        + "</PAMDataset>"
    )
    for band in (1, 2, 3):
        vectorize(raster, tmp_path / "o.gpkg", band=band, overwrite=True, min_area=1)
        frame = read(tmp_path / "o.gpkg")
        assert np.array_equal(burned(frame, raster), years[band - 1])
        assert f"year {band}" in set(frame.name)
    with pytest.warns(GeocamssWarning, match=r"c\.tif: has 3 bands, of which band 1.*--band N"):
        vectorize(raster, tmp_path / "o.gpkg", overwrite=True)
    assert np.array_equal(burned(read(tmp_path / "o.gpkg"), raster), years[0])
    for band in (0, 4, -1, True, 1.5):
        with pytest.raises(BandError, match=f"has 3 bands, counted from 1; got band {band}"):
            vectorize(raster, tmp_path / "o.gpkg", band=band, overwrite=True)


def test_a_band_beside_an_alpha_needs_no_choice(tmp_path):
    pixels = landscape(30, 40)
    alpha = np.where(pixels == 255, 0, 255).astype(np.uint8)
    raster = stacked(tmp_path / "c.tif", [np.where(pixels == 255, 3, pixels), alpha], alpha="yes")
    vectorize(raster, tmp_path / "o.gpkg")
    assert np.array_equal(burned(read(tmp_path / "o.gpkg"), raster, fill=255), pixels)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("alpha", [0, 1])
def test_a_picture_is_no_class_map(tmp_path, capsys, kind, alpha):
    bands = [np.arange(12, dtype=kind).reshape(3, 4)] * (3 + alpha)
    raster = stacked(tmp_path / "picture.tif", bands, photometric="rgb")
    words = ["vectorize", str(raster), "-o", str(tmp_path / "o.gpkg")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "picture.tif: is a picture" in said
    assert "--band N" in said
    assert not (tmp_path / "o.gpkg").exists()
    assert main([*words, "--band", "2"]) == 0
    assert "12 polygons" in capsys.readouterr().out


def test_urls_of_files_are_files(tmp_path, capsys):
    pixels = landscape(30, 40)
    raster = write_map(tmp_path / "Karte für Gäste.tif", pixels)
    named(raster, ["water"])
    out = tmp_path / "o.gpkg"
    words = ["vectorize", f"file://{raster}", "-o", str(out), "--confidence", f"file://{raster}"]
    assert main(words) == 0
    frame = read(out)
    assert np.array_equal(burned(frame, raster, fill=255), pixels)
    assert (frame.name[frame["class"] == 0] == "water").all()
    np.testing.assert_allclose(frame.confidence, frame["class"])
    assert main(["vectorize", "file:///nowhere/c.tif", "-o", str(out), "--overwrite"]) == 2
    assert "/nowhere/c.tif: cannot be opened as a raster" in capsys.readouterr().err
    assert main(["vectorize", "https://example.com/c.tif", "-o", str(out), "--overwrite"]) == 2
    assert "https://example.com/c.tif: is read several times" in capsys.readouterr().err


def test_more_values_than_classes_are_told(tmp_path):
    raster = write_map(
        tmp_path / "c.tif", np.arange(400, dtype=np.uint16).reshape(20, 20), nodata=None
    )
    with pytest.raises(SceneError, match=r"more than 255 different values.*is it a class map"):
        vectorize(raster, tmp_path / "o.gpkg")
    assert not (tmp_path / "o.gpkg").exists()


def test_names_and_colors_are_those_of_the_raster(tmp_path):
    pixels = (np.arange(30) % 5).astype(np.uint8).reshape(5, 6)
    raster = write_map(tmp_path / "c.tif", pixels)
    with rasterio.open(raster, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 255, 255), 1: (1, 2, 3, 255), 2: (9, 9, 9, 255)})
        file.update_tags(CLASS_2="tagged")
    named(raster, ["water", "", "woods", "woods", ""], [(1, "Häuser & <Höfe>", 200, 10, 20)])
    vectorize(raster, tmp_path / "o.gpkg")
    names = read(tmp_path / "o.gpkg").drop_duplicates("class").set_index("class").name.to_dict()
    assert names == {0: "water", 1: "Häuser & <Höfe>", 2: "tagged", 3: "woods", 4: "class 4"}
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as database:
        (qml,) = database.execute("SELECT styleQML FROM layer_styles").fetchone()
    assert "0,0,255,255" in qml
    assert "200,10,20,255" in qml


def test_names_that_repeat_are_told_apart(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.array([[0, 1]], np.uint8))
    named(raster, ["other", "other"])
    assert vectorize(raster, tmp_path / "o.fgb").classes == ("other (0)", "other (1)")


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a", "", "a (1)"),
        ("x", "x", "x (0)"),
        ("x", "x", "x (0)", "x (0)"),
        ("class 1", ""),
        ("3", "2", "1", "0"),
    ],
)
def test_whatever_classes_are_called_their_names_differ(tmp_path, names):
    raster = write_map(tmp_path / "c.tif", np.arange(len(names), dtype=np.uint8)[None])
    named(raster, names)
    found = vectorize(raster, tmp_path / "o.gpkg").classes
    with rasterio.open(raster, "r+") as target:
        target.update_tags(**{f"CLASS_{k}": name for k, name in enumerate(names) if name})
    for classes in (found, read_scheme(raster).names):
        assert len(set(classes)) == len(classes)
        assert all(a.startswith(b) for a, b in zip(classes, names[: len(classes)], strict=True))


def table(path: Path, columns, rows) -> None:
    """Put an attribute table beside a raster: columns of title, type and usage."""
    fields = "".join(
        f"<FieldDefn><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>"
        for name, kind, usage in columns
    )
    cells = "".join(
        f'<Row index="{k}">' + "".join(f"<F>{cell}</F>" for cell in row) + "</Row>"
        for k, row in enumerate(rows)
    )
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>'
        f"{fields}{cells}</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )


PAINT = [("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8)]


@pytest.mark.parametrize(
    ("texts", "cells"),
    [
        (["NLCD Land Cover Class"], ["{}"]),
        (["Remarks", "Land Cover Class"], ["as of 2021", "{}"]),
        (["Region", "Long_Name", "Source"], ["west", "{}", "survey"]),
    ],
)
def test_names_come_from_the_column_of_text_whatever_its_title(tmp_path, texts, cells):
    """As national land cover maps have it: no column is marked as that of the names."""
    raster = write_map(tmp_path / "c.tif", np.array([[0, 1, 2]], np.uint8))
    columns = [("Histogram", 1, 1), *PAINT, *[(text, 2, 0) for text in texts], ("Opacity", 0, 9)]
    rows = [
        (7, 10 * k, 20, 30, *[cell.format(name) for cell in cells], 255)
        for k, name in enumerate(["Unclassified", "Open Water", "Perennial Ice/Snow"])
    ]
    table(raster, columns, rows)
    legend = read_legend(raster)
    assert list(legend.names.values()) == ["Unclassified", "Open Water", "Perennial Ice/Snow"]
    assert legend.colors == {k: (10 * k, 20, 30) for k in range(3)}
    assert vectorize(raster, tmp_path / "o.gpkg").classes == tuple(legend.names.values())


def test_a_row_for_no_finite_value_names_no_class(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.array([[1]], np.uint8))
    table(raster, [("Value", 1, 5), ("Class", 2, 2)], [("inf", "all"), ("nan", "none"), (1, "one")])
    assert read_legend(raster).names == {1: "one"}


def test_what_a_palette_paints_black_is_black(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.array([[0, 1, 3, 7]], np.uint8))
    with rasterio.open(raster, "r+") as target:
        target.write_colormap(1, {0: (0, 0, 0), 1: (255, 255, 255), 2: (9, 8, 7), 4: (1, 2, 3)})
    colors = read_legend(raster).colors
    assert colors[0] == colors[3] == (0, 0, 0)
    assert set(colors) == set(range(5))  # no one has painted the others


def test_right_angles_where_they_fit(tmp_path):
    """A rotated house comes back as a rectangle; a ring-shaped lake stays as it is."""
    y, x = np.mgrid[:80, :120]
    along, across = (x - 40) * 0.8 + (y - 40) * 0.6, -(x - 40) * 0.6 + (y - 40) * 0.8
    pixels = np.zeros((80, 120), np.uint8)
    pixels[(np.abs(along) < 22) & (np.abs(across) < 12)] = 1
    pixels[np.abs(np.hypot(x - 95, y - 40) - 16) < 1.5] = 2
    raster = write_map(tmp_path / "c.tif", pixels)
    vectorize(raster, tmp_path / "o.gpkg", square=["CLASS 1", 2], simplify=10)
    frame = read(tmp_path / "o.gpkg")
    house = frame[frame["class"] == 1].geometry.item()
    truth = (pixels == 1).sum() * 100
    assert house.area == pytest.approx(truth, rel=0.05)
    corners = np.diff(shapely.get_coordinates(house), axis=0)
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    turns = np.sum(corners * np.roll(corners, 1, axis=0), axis=1)
    assert (
        np.abs(turns / np.prod(np.linalg.norm([corners, np.roll(corners, 1, 0)], axis=2), 0)).max()
        < 1e-6
    )
    assert len(corners) <= 8
    vectorize(raster, tmp_path / "exact.gpkg")
    before = read(tmp_path / "exact.gpkg")
    before = before[before["class"] == 1].geometry.item()
    assert house.intersection(before).area / house.union(before).area >= 0.8
    vectorize(raster, tmp_path / "plain.gpkg", simplify=10)
    plain = read(tmp_path / "plain.gpkg")
    assert shapely.equals_exact(
        frame[frame["class"] == 2].geometry.values, plain[plain["class"] == 2].geometry.values
    ).all()


def test_smoothing_and_sieving_leave_nothing_small(tmp_path):
    pixels = landscape(80, 90, smooth=1.0)
    raster = write_map(tmp_path / "c.tif", pixels)
    vectorize(raster, tmp_path / "o.gpkg", min_area=1500, smooth=True)
    frame = read(tmp_path / "o.gpkg")
    assert frame.area_m2.min() >= 1500
    back = burned(frame, raster, fill=255)
    assert np.array_equal(back == 255, pixels == 255)


def test_no_small_polygon_is_left_of_a_mask_whose_background_is_nodata(tmp_path):
    """Houses have no neighbors there; what is left of them is as without nodata."""
    pixels = (landscape(90, 100, smooth=1.5) == 2).astype(np.uint8)
    options = {"min_area": 2000, "simplify": 10, "square": [1]}
    found = {}
    for nodata in (0, None):
        raster = write_map(tmp_path / f"{nodata}.tif", pixels, nodata=nodata, nbits=1)
        vectorize(raster, tmp_path / f"{nodata}.gpkg", min_area=2000)
        frame = read(tmp_path / f"{nodata}.gpkg")
        assert frame.area_m2.min() >= 2000
        found[nodata] = burned(frame, raster, fill=0)
        vectorize(raster, tmp_path / f"s{nodata}.gpkg", **options)
        assert read(tmp_path / f"s{nodata}.gpkg").area_m2.min() >= 0.99 * 2000
    labels, count = ndimage.label(pixels)
    sizes = np.bincount(labels.ravel())
    assert np.array_equal(found[0] == 1, (sizes[labels] >= 20) & (labels > 0))
    assert 0 < (sizes < 20).sum() < count
    assert (found[None] >= found[0]).all()  # background may be too small; nodata stays


def test_a_class_that_is_not_there_is_told(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.zeros((3, 3), np.uint8))
    named(raster, ["building"])
    with pytest.raises(InputError, match=r"'bulding'.*did you mean 'building'"):
        vectorize(raster, tmp_path / "o.gpkg", square=["bulding"])


@pytest.mark.parametrize(
    "options",
    [{"min_area": 2_000}, {"smooth": True}, {"simplify": 15}, {"min_area": 900, "smooth": True}],
)
def test_shaped_polygons_have_the_vertices_of_their_borders_in_common(tmp_path, options):
    raster = write_map(tmp_path / "c.tif", landscape(80, 90))
    vectorize(raster, tmp_path / "o.gpkg", **options)
    assert shapely.coverage_is_valid(read(tmp_path / "o.gpkg").geometry.values)


def test_control_points_that_are_not_used_are_told(tmp_path):
    pixels = landscape(30, 40)
    points = [
        GroundControlPoint(row, column, 5e5 + 10 * column, 5e6 - 10 * row)
        for row, column in ((0, 0), (0, 40), (30, 0), (30, 40))
    ]
    raster = write_map(tmp_path / "c.tif", pixels, None, Affine.identity())
    with rasterio.open(raster, "r+") as target:
        target.gcps = points, CRS.from_epsg(32633)
    with pytest.warns(GeocamssWarning, match=r"c\.tif: has ground control points.*gdalwarp"):
        vectorize(raster, tmp_path / "o.gpkg")


def test_large_numbers_that_come_late_are_kept(tmp_path, monkeypatch):
    """The first batch makes the field: it must have room for those of later ones."""
    monkeypatch.setattr(features_module, "BATCH", 10)
    pixels = np.zeros((20, 20), np.uint32)
    pixels[::2, ::2] = 1
    pixels[-1, -1] = 4_000_000_000
    raster = write_map(tmp_path / "c.tif", pixels, nodata=None)
    for ending in FORMATS:
        vectorize(raster, tmp_path / f"o{ending}")
        frame = read(tmp_path / f"o{ending}")
        assert sorted(set(frame["class"])) == [0, 1, 4_000_000_000]


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("complex_int16", 1, "holds whole numbers, band 1 is complex_int16"),
        ("complex64", 1, "holds whole numbers, band 1 is complex64"),
        ("uint64", 2**63 + 5, f"at most {2**63 - 1}, found {2**63 + 5}"),
    ],
)
def test_numbers_that_no_class_can_have_are_told(tmp_path, kind, value, said):
    pixels = np.array([[1, value]], "uint64" if kind == "uint64" else "complex64")
    with rasterio.open(
        tmp_path / "c.tif", "w", driver="GTiff", dtype=kind, count=1, height=1, width=2, crs=UTM,
        transform=NORTH_UP,
    ) as target:  # fmt: skip
        target.write(pixels, 1)
    with pytest.raises(SceneError, match=said):
        vectorize(tmp_path / "c.tif", tmp_path / "o.gpkg")


def test_numbers_that_differ_beyond_a_floats_digits_are_kept_apart(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.array([[2**60, 2**60 + 1]], np.uint64), nodata=None)
    vectorize(raster, tmp_path / "o.parquet")
    assert read(tmp_path / "o.parquet")["class"].tolist() == [2**60, 2**60 + 1]


@pytest.mark.parametrize("number", [1e30, 1e308])
def test_shaping_by_any_finite_number_is_done(tmp_path, number):
    raster = write_map(tmp_path / "c.tif", landscape(40, 50))
    vectorize(raster, tmp_path / "s.gpkg", simplify=number)
    found = read(tmp_path / "s.gpkg")
    assert shapely.coverage_is_valid(found.geometry.values)
    vectorize(raster, tmp_path / "m.gpkg", min_area=number)
    assert len(read(tmp_path / "m.gpkg")) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_area": -1}, "min_area must be square meters, 0 or more, got -1"),
        ({"simplify": float("nan")}, "simplify must be meters, 0 or more, got nan"),
    ],
)
def test_numbers_out_of_range_are_told(tmp_path, options, said):
    raster = write_map(tmp_path / "c.tif", np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match=said):
        vectorize(raster, tmp_path / "o.gpkg", **options)


def test_another_ending_is_told(tmp_path):
    raster = write_map(tmp_path / "c.tif", np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match=r"o\.shp: .*\.gpkg, \.parquet, \.fgb"):
        vectorize(raster, tmp_path / "o.shp")


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_is_replaced_only_on_request_and_kept_when_reading_fails(tmp_path, ending):
    good = write_map(tmp_path / "good.tif", landscape(30, 30))
    bad = write_map(tmp_path / "bad.tif", landscape(600, 600))
    bad.write_bytes(bad.read_bytes()[:200_000])
    out = tmp_path / f"o{ending}"
    vectorize(good, out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        vectorize(good, out)
    with pytest.raises((ReadError, SceneError), match=r"bad\.tif"):
        vectorize(bad, out, overwrite=True)
    assert out.read_bytes() == before
    vectorize(good, out, overwrite=True)
    assert out.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("ending", FORMATS)
def test_a_folder_that_is_not_there_is_told(tmp_path, ending):
    raster = write_map(tmp_path / "c.tif", np.zeros((3, 3), np.uint8))
    with pytest.raises(OutputError, match="nowhere does not exist; make the folder, or choose"):
        vectorize(raster, tmp_path / "nowhere" / f"o{ending}")
    with pytest.raises(OutputError, match=r"c\.tif is no folder"):
        vectorize(raster, raster / f"o{ending}")
    assert not (tmp_path / "nowhere").exists()


def test_the_command_tells_what_it_wrote(tmp_path, capsys):
    raster = write_map(tmp_path / "c.tif", landscape(40, 40))
    out = tmp_path / "o.fgb"
    words = ["vectorize", str(raster), "-o", str(out), "--min-area", "400", "--smooth"]
    assert main([*words, "--simplify", "15", "--square", "class 2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["polygons"] == pyogrio.read_info(out)["features"]
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert "o.fgb" in capsys.readouterr().out


def test_the_command_counts_what_is_in_the_file(tmp_path, capsys):
    pixels = np.full((20, 20), 7000, np.uint16)
    pixels[4:6, 4:6] = 9
    raster = write_map(tmp_path / "c.tif", pixels, nodata=None)
    words = ["vectorize", str(raster), "-o", str(tmp_path / "o.fgb"), "--overwrite"]
    for options, said in (
        ([], "2 polygons of 2 classes"),
        (["--min-area", "900"], "1 polygon of 1 class"),
        (["--min-area", "90000"], "0 polygons of 0 classes"),
    ):
        assert main([*words, *options]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'o.fgb'}: {said}\n"
    assert vectorize(raster, tmp_path / "o.gpkg", min_area=900).classes == ("class 7000",)


def kind_of_map(kind: str) -> tuple[np.ndarray, dict]:
    """Pixels, and how they lie on the ground."""
    pixels = landscape(36, 40)
    degrees = {"crs": CRS.from_epsg(4326), "transform": Affine(2e-4, 0, 10, 0, -1e-4, 60)}
    return {
        "255 classes": (np.kron(np.arange(256, dtype=np.uint8).reshape(16, 16), EIGHT), {}),
        "one class": (np.zeros((9, 8), np.uint8), {}),
        "nodata alone": (np.full((9, 8), 255, np.uint8), {}),
        "no nodata": (np.where(pixels == 255, 0, pixels), {"nodata": None}),
        "degrees": (pixels, degrees),
        "feet": (
            pixels,
            {"crs": CRS.from_epsg(2263), "transform": Affine(33, 0, 1e6, 0, -33, 2e5)},
        ),
        "south up": (pixels, {"transform": Affine(10, 0, 5e5, 0, 10, 5e6)}),
        "no place": (pixels, {"crs": None, "transform": Affine.identity()}),
        "a row": (pixels[-1:], {}),
        "a column": (np.ascontiguousarray(pixels[:, -1:]), {}),
        "a pixel": (pixels[-1:, -1:], {}),
    }[kind]


EIGHT = np.ones((8, 8), np.uint8)
KINDS = ["255 classes", "one class", "nodata alone", "no nodata", "degrees", "feet", "south up"]
KINDS += ["no place", "a row", "a column", "a pixel"]


@pytest.mark.parametrize("palette", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_any_class_raster_becomes_polygons_with_a_style(tmp_path, kind, palette):
    """A palette may come without names: then classes are called by their numbers."""
    folder = tmp_path / "Straße der Gäste"
    folder.mkdir()
    pixels, place = kind_of_map(kind)
    raster = write_map(folder / "Karte (alt).tif", pixels, **place)
    paint = {value: (value, 255 - value, 7 * value % 256, 255) for value in range(256)}
    if palette:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(raster, "r+") as file:
                file.write_colormap(1, paint)
    vectorize(raster, folder / "genau.gpkg")
    exact = read(folder / "genau.gpkg")
    assert np.array_equal(burned(exact, raster, fill=255), pixels)
    side = 1 if place.get("crs", UTM) is None else 10
    least = min(3, pixels.size) * side**2
    vectorize(raster, folder / "glatt.gpkg", simplify=2 * side, min_area=least, smooth=True)
    smooth = read(folder / "glatt.gpkg")
    assert smooth.is_valid.all()
    assert shapely.coverage_is_valid(smooth.geometry.values)
    assert smooth.area_m2.sum() == pytest.approx(exact.area_m2.sum(), rel=1e-3)

    values = sorted({*pixels.ravel().tolist()} - {255})
    with closing(sqlite3.connect(folder / "genau.gpkg")) as database:
        tables = [name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")]
        assert ("layer_styles" in tables) == (len(values) > 0)
        if not values:
            return
        ((qml,),) = database.execute("SELECT styleQML FROM layer_styles WHERE useAsDefault")
    root = ET.fromstring(qml.split("\n", 1)[1])  # noqa: S314 (our own text)
    entries = root.findall(".//categories/category")
    assert [int(entry.get("value")) for entry in entries] == values
    assert [entry.get("label") for entry in entries] == [f"class {value}" for value in values]
    colors = [
        symbol.find(".//Option[@name='color']").get("value").split(",")[:3]
        for symbol in root.findall(".//symbols/symbol")
    ]
    if palette:
        assert colors == [[str(part) for part in paint[value][:3]] for value in values]
    else:
        assert len({tuple(color) for color in colors}) == len(values)


def filled(shapes, shape: tuple[int, int]) -> np.ndarray:
    """Pixels inside polygons whose edges are those of pixels, by counting edges to their left."""
    edges = np.zeros((shape[0] + 1, shape[1] + 1), dtype=np.int64)
    for ring in shapely.get_parts(shapely.boundary(shapes)):
        points = np.rint(shapely.get_coordinates(ring)).astype(np.int64)
        column, row = points[:, 0], -points[:, 1]
        upright = column[1:] == column[:-1]
        ends = np.sort(np.stack((row[1:], row[:-1]))[:, upright], axis=0)
        np.add.at(edges, (ends[0], column[1:][upright]), 1)
        np.add.at(edges, (ends[1], column[1:][upright]), -1)
    return edges.cumsum(axis=0)[:-1].cumsum(axis=1)[:, :-1] % 2 == 1


def test_polygons_of_very_many_vertices(tmp_path):
    """Two arms of two pixels wind around each other, with almost a million vertices in all."""
    y, x = np.mgrid[:1300, :1300] - 650.3
    winds = np.hypot(x, y) / 4 - np.arctan2(y, x) / (2 * np.pi)
    pixels = (winds % 1 < 0.5).astype(np.uint8)
    raster = write_map(tmp_path / "c.tif", pixels, None, Affine.identity())
    done = vectorize(raster, tmp_path / "o.parquet")
    frame = read(tmp_path / "o.parquet")
    assert done.polygons == len(frame)
    assert shapely.get_num_coordinates(frame.geometry.values).max() > 300_000
    for value in (0, 1):
        part = frame[frame["class"] == value].geometry.values
        assert np.array_equal(filled(part, pixels.shape), pixels == value)
    vectorize(raster, tmp_path / "s.parquet", simplify=10)
    simple = read(tmp_path / "s.parquet")
    assert simple.is_valid.all()
    assert len(simple) == len(frame)
    for value in (0, 1):
        area = simple[simple["class"] == value].area.sum()
        assert area == pytest.approx((pixels == value).sum(), rel=0.01)


@pytest.mark.parametrize("simplify", [0, pytest.param(10, marks=pytest.mark.slow)])
def test_a_polygon_of_a_million_vertices(tmp_path, simplify):
    """Combs with teeth of one pixel, one above the other, which the first column holds together."""
    pixels = np.zeros((1010, 1010), np.uint8)
    pixels[:, ::2] = pixels[1::4] = 1
    pixels[3::4] = 0
    pixels[:, 0] = 1
    raster = write_map(tmp_path / "c.tif", pixels, None, Affine.identity())
    vectorize(raster, tmp_path / "o.parquet", simplify=simplify)
    frame = read(tmp_path / "o.parquet")
    shapes = [frame[frame["class"] == value].geometry.values for value in (0, 1)]
    assert len(shapes[1]) == 1
    if not simplify:
        assert shapely.get_num_coordinates(shapes[1][0]) > 1_000_000
        assert np.array_equal(filled(shapes[1], pixels.shape), pixels == 1)
        assert np.array_equal(filled(shapes[0], pixels.shape), pixels == 0)
    else:
        assert shapely.get_num_coordinates(shapes[1][0]) < 10_000
        assert frame.is_valid.all()
        for value in (0, 1):
            area = shapely.area(shapes[value]).sum()
            assert area == pytest.approx((pixels == value).sum(), rel=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"simplify": 15},
        {"smooth": True},
        {"min_area": 400},
        {"min_area": 400, "smooth": True, "square": ["class 2"]},
    ],
)
def test_progress_counts_up_to_its_total(tmp_path, monkeypatch, options):
    monkeypatch.setattr(polygons, "BAND_PIXELS", 300)
    raster = write_map(tmp_path / "c.tif", landscape(40, 40))
    told = []
    vectorize(raster, tmp_path / "o.gpkg", progress=told.append, **options)
    assert {report.stage for report in told} == {"polygons"}
    assert {report.total for report in told} == {told[-1].done}
    done = [report.done for report in told]
    assert done == sorted(done)
    assert done[0] == 40 * 40


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_and_programs_lines(tmp_path, capsys, monkeypatch):
    raster = write_map(tmp_path / "c.tif", landscape(40, 40))
    words = ["vectorize", str(raster), "-o", str(tmp_path / "o.fgb"), "--overwrite"]
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == {"stage": "polygons", "done": 2 * 40 * 40, "total": 2 * 40 * 40}
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for quiet in ([], ["-q"]):
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        assert main([*words, *quiet]) == 0
        seen = terminal.getvalue()
        assert not seen if quiet else "polygons" in seen and "100 %" in seen


def test_vectorize_is_public() -> None:
    assert geocamss.vectorize is vectorize
    assert NORTH_UP.e < 0
