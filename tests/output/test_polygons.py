"""The GeoPackage of polygons: what is in it, and that nothing is left of a failure."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import geopandas
import geopandas.testing
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import features
from rasterio.crs import CRS
from scipy import ndimage

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import DiskFullError, OutputError, ReadError, SceneError
from geocamss.output import features as features_module
from geocamss.output import vectorfile
from geocamss.output.areas import class_areas
from geocamss.output.polygons import polygonize
from geocamss.output.shaping import Shaping

from .maps import SCHEME, class_maps, landscape, write_map

FIELDS = ["class", "name", "confidence", "area_m2", "perimeter_m"]


def read(path):
    return geopandas.read_file(path, layer="polygons")


def burned(frame, like):
    """The class map that the polygons make on the grid of a raster."""
    with rasterio.open(like) as source:
        shape, transform = source.shape, source.transform
        if source.crs is None and transform.is_identity:  # as GIS programs draw such a raster
            transform = Affine.scale(1, -1)
    if not len(frame):
        return np.full(shape, NODATA, dtype=np.uint8)
    pairs = zip(frame.geometry, frame["class"].tolist(), strict=True)
    return features.rasterize(
        pairs, out_shape=shape, fill=NODATA, transform=transform, dtype=np.uint8
    )


@pytest.fixture
def mapped(tmp_path):
    pixels = landscape(90, 110)
    percent = np.random.default_rng(2).integers(0, 101, pixels.shape).astype(np.uint8)
    percent[pixels == NODATA] = NODATA
    classes = write_map(tmp_path / "classes.tif", pixels)
    confidence = write_map(tmp_path / "confidence.tif", percent)
    return pixels, percent, classes, confidence


def test_fields_are_those_of_each_region(mapped, tmp_path):
    pixels, percent, classes, confidence = mapped
    count = polygonize(classes, confidence, tmp_path / "o.gpkg", SCHEME)
    frame = read(tmp_path / "o.gpkg")
    assert len(frame) == count
    assert list(frame.columns) == [*FIELDS, "geometry"]
    assert frame.crs.to_epsg() == 32633
    assert np.array_equal(burned(frame, classes), pixels)
    assert frame.name.tolist() == [SCHEME.by_value()[v].name for v in frame["class"]]
    expected = {}
    for value in SCHEME.values:
        labels, found = ndimage.label(pixels == value)
        numbers = np.arange(1, found + 1)
        last = ndimage.maximum(np.arange(pixels.size).reshape(pixels.shape), labels, numbers)
        means = ndimage.mean(percent, labels, numbers)
        expected |= dict(zip(last.tolist(), means.tolist(), strict=True))
    np.testing.assert_allclose(frame.confidence, [expected[k] for k in sorted(expected)])
    np.testing.assert_allclose(frame.area_m2, frame.area, rtol=2e-3)  # UTM's scale


@settings(max_examples=15)
@given(pixels=class_maps(30), band=st.integers(1, 200))
def test_the_file_does_not_depend_on_the_bands(pixels, band, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bands")
    classes = write_map(folder / "c.tif", pixels)
    prints = []
    for number, size in enumerate((10**6, band)):
        polygonize(classes, None, folder / f"{number}.gpkg", SCHEME, band_pixels=size)
        prints.append(hashlib.sha256((folder / f"{number}.gpkg").read_bytes()).hexdigest())
    assert prints[0] == prints[1]
    assert np.array_equal(burned(read(folder / "0.gpkg"), classes), pixels)


@pytest.mark.parametrize(("features_", "vertices"), [(100, 10**9), (10**9, 500), (300, 1000)])
def test_batches_lose_and_change_nothing(mapped, tmp_path, monkeypatch, features_, vertices):
    _, _, classes, confidence = mapped
    polygonize(classes, confidence, tmp_path / "one.gpkg", SCHEME)
    monkeypatch.setattr(features_module, "BATCH", features_)
    monkeypatch.setattr(features_module, "BATCH_VERTICES", vertices)
    polygonize(classes, confidence, tmp_path / "many.gpkg", SCHEME)
    one, many = read(tmp_path / "one.gpkg"), read(tmp_path / "many.gpkg")
    geopandas.testing.assert_geodataframe_equal(one, many)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(1e-4, 0, 10, 0, -1e-4, 60)),
        ("EPSG:3857", Affine(30, 0, 1e6, 0, -30, 8.4e6)),
        ("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5)),
        (None, Affine(1, 0, 0, 0, -1, 120)),
        (None, Affine.identity()),
        ('LOCAL_CS["site",UNIT["foot",0.3048]]', Affine(2, 0, 0, 0, -2, 0)),
        ("+proj=laea +lat_0=3 +lon_0=7 +datum=WGS84", Affine(30, 0, 0, 0, -30, 0)),
        ("EPSG:32633", Affine(10, 0, 5e5, 0, 10, 5e6)),
    ],
)
def test_any_coordinate_system_comes_back(tmp_path, crs, transform):
    pixels = landscape(40, 50)
    known = crs and (CRS.from_wkt(crs) if crs.startswith("LOCAL") else CRS.from_string(crs))
    classes = write_map(tmp_path / "classes.tif", pixels, known, transform)
    polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)
    frame = read(tmp_path / "o.gpkg")
    assert np.array_equal(burned(frame, classes), pixels)
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.values)).all()
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as database:
        query = "SELECT srs_id FROM gpkg_contents WHERE table_name = 'polygons'"
        (srs,) = database.execute(query).fetchone()
    if crs is None:
        assert srs == -1
        assert np.array_equal(frame.area_m2, frame.area)
    elif crs.startswith("EPSG"):
        assert f"EPSG:{srs}" == crs
    total = sum(area.area_m2 for area in class_areas(classes, None, SCHEME))
    assert frame.area_m2.sum() == pytest.approx(total, rel=1e-12)


def test_without_confidence_the_field_is_null(mapped, tmp_path):
    _, _, classes, _ = mapped
    polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)
    assert read(tmp_path / "o.gpkg").confidence.isna().all()


def test_pixels_of_unknown_confidence_do_not_count(tmp_path):
    pixels = np.array([[0, 0, 1, 2]], dtype=np.uint8)
    percent = np.array([[40, NODATA, NODATA, 70]], dtype=np.uint8)
    classes = write_map(tmp_path / "classes.tif", pixels)
    confidence = write_map(tmp_path / "confidence.tif", percent)
    polygonize(classes, confidence, tmp_path / "o.gpkg", SCHEME)
    frame = read(tmp_path / "o.gpkg")
    assert frame.confidence.fillna(-1).tolist() == [40, -1, 70]


def test_all_nodata_gives_an_empty_layer_with_its_fields(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.full((4, 4), NODATA, dtype=np.uint8))
    assert polygonize(classes, None, tmp_path / "o.gpkg", SCHEME) == 0
    info = pyogrio.read_info(tmp_path / "o.gpkg", layer="polygons")
    assert list(info["fields"]) == FIELDS
    assert info["geometry_type"] == "Polygon"


def test_one_pixel_is_a_square(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.array([[3]], dtype=np.uint8))
    polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)
    (shape,) = read(tmp_path / "o.gpkg").geometry
    assert shapely.equals(shape, shapely.box(500_000, 4_999_990, 500_010, 5_000_000))


def test_other_rasters_give_their_nodata_and_types(tmp_path):
    pixels = landscape(20, 30).astype(np.int16)
    pixels[pixels == NODATA] = -1
    classes = write_map(tmp_path / "classes.tif", pixels, nodata=-1)
    polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)
    back = burned(read(tmp_path / "o.gpkg"), classes).astype(np.int16)
    assert np.array_equal(np.where(back == NODATA, -1, back), pixels)


def test_254_is_a_class_and_255_is_none(tmp_path):
    scheme = ClassScheme.of([f"c{v}" for v in range(255)])
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    classes = write_map(tmp_path / "classes.tif", pixels)
    assert polygonize(classes, None, tmp_path / "o.gpkg", scheme) == 255


@pytest.mark.parametrize(
    "name", ["zion/nlcd.tif", "fair/zanzibar_aoi0_z19_label.tif", "fair/kampala_aoi0_z20_label.tif"]
)
def test_real_maps_come_back_pixel_for_pixel(shared_data, tmp_path, name):
    with rasterio.open(shared_data / name) as source:
        pixels = source.read(1)
        classes = write_map(tmp_path / "classes.tif", pixels, source.crs, source.transform)
    scheme = ClassScheme.of([f"class {v}" for v in range(10)])
    polygonize(classes, None, tmp_path / "o.gpkg", scheme, band_pixels=100_000)
    frame = read(tmp_path / "o.gpkg")
    assert np.array_equal(burned(frame, classes), pixels)
    assert frame.is_valid.all()
    areas = {area.value: area.area_m2 for area in class_areas(classes, None, scheme)}
    sums = frame.groupby("class").area_m2.sum()
    np.testing.assert_allclose(sums, [areas[v] for v in sums.index], rtol=1e-12)


def test_nothing_but_the_file_is_left(mapped, tmp_path):
    _, _, classes, confidence = mapped
    out = tmp_path / "Ausgabe für Gäste"
    out.mkdir()
    polygonize(classes, confidence, out / "o.gpkg", SCHEME)
    polygonize(classes, confidence, out / "o.gpkg", SCHEME)
    assert [path.name for path in out.iterdir()] == ["o.gpkg"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.array([[0], [9]], dtype=np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    (out / "o.gpkg").write_text("before")
    with pytest.raises(SceneError, match="holds the value 9, which the class scheme does not"):
        polygonize(classes, None, out / "o.gpkg", SCHEME, band_pixels=1)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("o.gpkg", "before")]


def test_a_folder_that_is_not_there_is_told(mapped, tmp_path):
    _, _, classes, _ = mapped
    with pytest.raises(OutputError, match=r"o\.gpkg: .*nowhere does not exist"):
        polygonize(classes, None, tmp_path / "nowhere" / "o.gpkg", SCHEME)
    (tmp_path / "o.gpkg").mkdir()
    with pytest.raises(OutputError, match=r"o\.gpkg: cannot be written"):
        polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)


def test_a_full_disk_is_told(mapped, tmp_path, monkeypatch):
    _, _, classes, _ = mapped
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 70_000}))

    def full(*_, **__):
        raise pyogrio.errors.DataSourceError("no space")

    monkeypatch.setattr(vectorfile.pyogrio.raw, "write", full)
    with pytest.raises(
        DiskFullError, match=r"[1-9]\.\d MB more are needed, and 0\.1 MB are free.*room"
    ):
        polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)


def test_values_above_254_are_told(tmp_path):
    pixels = np.array([[1, 300]], dtype=np.uint16)
    classes = write_map(tmp_path / "classes.tif", pixels, nodata=0)
    with pytest.raises(ReadError, match="found 300 in rows 0 to 1"):
        polygonize(classes, None, tmp_path / "o.gpkg", SCHEME)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2), np.complex64), None])
def test_what_is_no_class_map_is_told(tmp_path, pixels):
    path = tmp_path / "classes.tif"
    if pixels is None:
        path.write_text("no raster")
    else:
        write_map(path, pixels)
    with pytest.raises(SceneError, match=r"classes\.tif"):
        polygonize(path, None, tmp_path / "o.gpkg", SCHEME)


def test_confidence_of_another_size_is_told(tmp_path):
    classes = write_map(tmp_path / "classes.tif", np.zeros((2, 2), np.uint8))
    confidence = write_map(tmp_path / "confidence.tif", np.zeros((2, 3), np.uint8))
    with pytest.raises(SceneError, match="2 x 2 pixels, got uint8 with 2 x 3"):
        polygonize(classes, confidence, tmp_path / "o.gpkg", SCHEME)


def test_truncated_rasters_are_told(tmp_path):
    path = write_map(tmp_path / "classes.tif", landscape(400, 400))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises((ReadError, SceneError), match=r"classes\.tif"):
        polygonize(path, None, tmp_path / "o.gpkg", SCHEME)


def test_min_area_leaves_no_smaller_polygon(mapped, tmp_path):
    _, percent, classes, confidence = mapped
    polygonize(classes, confidence, tmp_path / "o.gpkg", SCHEME, Shaping(min_area=2000.0))
    frame = read(tmp_path / "o.gpkg")
    assert frame.area_m2.min() >= 2000.0
    assert frame.is_valid.all()
    areas = class_areas(classes, None, SCHEME)
    assert frame.area_m2.sum() == pytest.approx(sum(a.area_m2 for a in areas), rel=1e-9)
    sums = (frame.confidence * frame.area_m2).sum() / frame.area_m2.sum()
    assert sums == pytest.approx(percent[percent != NODATA].mean(), rel=1e-4)
