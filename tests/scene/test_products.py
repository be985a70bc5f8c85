"""Products of several files: each pixel is the one that rasterio reads from its file."""

from __future__ import annotations

import datetime as dt
import json
import math
import shutil
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine

from geocamss.errors import BandError, GeocamssWarning, SceneError
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.catalog import find_scenes
from geocamss.scene.grid import choose_grid
from geocamss.scene.quality import Quality
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.stack import lookup_table
from geocamss.scene.vrt import read_sources
from geocamss.scene.window import Window
from tests.scene import products

CLEAR = (2, 4, 5, 6, 7, 11)


def read(scene: Scene, *names: str) -> tuple[np.ndarray, np.ndarray]:
    by_name = {band.name: band for band in scene.bands}
    bands = tuple(by_name[name] for name in names)
    grid = choose_grid(scene, 1.0, gsd="native")
    with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
        return reader.read(grid.window)


def repeated(values: np.ndarray, times: int) -> np.ndarray:
    return values.repeat(times, 0).repeat(times, 1)


def test_a_sentinel2_folder_is_a_scene(tmp_path):
    root, stored = products.sentinel2(tmp_path)
    scene = Scene.open(root)
    assert (scene.width, scene.height, scene.crs.to_epsg()) == (120, 120, 32632)
    assert scene.transform[:6] == (10, 0, products.LEFT, 0, -10, products.TOP)
    assert scene.datetime == dt.datetime(2024, 8, 30, 10, 5, 59, 24_000, tzinfo=dt.UTC)
    assert scene.id == root.stem
    assert scene.path == str(root)
    names = [band.name for band in scene.bands]
    assert names == [
        *("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"),
        *("nir", "nir08", "water_vapor", "swir1", "swir2"),
    ]
    values, valid = read(scene, "blue", "green", "red", "nir")
    clear = np.isin(repeated(stored["SCL"], 2), CLEAR)
    some = np.any([stored[b] > 0 for b in ("B02", "B03", "B04", "B08")], axis=0)
    assert (valid == (clear & some)).all()
    for found, band in zip(values, ("B02", "B03", "B04", "B08"), strict=True):
        assert (found[valid] == stored[band][valid]).all()


def test_coarser_bands_are_interpolated_as_gdal_does(tmp_path):
    root, stored = products.sentinel2(tmp_path)
    values, valid = read(Scene.open(root), "swir1", "coastal")
    for found, band, size in zip(values, ("B11", "B01"), (20, 60), strict=True):
        path = next(root.rglob(f"*_{band}_{size}m.jp2"))
        shape = (120, 120)
        with rasterio.open(path, nodata=0) as file:
            smooth = file.read(1, out_shape=shape, resampling=rasterio.enums.Resampling.bilinear)
        inner = valid & (smooth > 0)
        inner[:9, :15] = False  # missing pixels have a share there, by GDAL
        assert np.abs(found[inner].astype(int) - smooth[inner]).max() <= 1
        assert stored[band].min() <= found[inner].min()


@pytest.mark.parametrize("declared", [0, None])
def test_missing_pixels_have_no_share_in_those_between(tmp_path, declared):
    """What is missing is 0 by the product's rules, whether its files declare that or not."""
    coarse = np.full((1, 20, 20), 1000, np.uint16)
    coarse[:, :, :10] = 0
    paths = {}
    for band, size in (("B04", 10), ("B11", 20)):
        folder = tmp_path / "a & b?c=d"
        folder.mkdir(exist_ok=True)
        paths[band] = folder / f"{band}.tif"
        values = coarse if size == 20 else coarse.repeat(2, 1).repeat(2, 2)
        products.write(paths[band], values, nodata=declared, **products.place(size))
    bands = tuple(BundleBand(b, str(path), nodata=0.0) for b, path in paths.items())
    bundle = Bundle(str(tmp_path), "x", bands, platform="Sentinel-2A")
    scene = Scene.open(bundle.to_text())
    values, valid = read(scene, "swir1")
    assert set(np.unique(values[0][valid])) == {1000}
    assert (valid == repeated(coarse[0] > 0, 2)).mean() > 0.97
    with rasterio.open(scene.opens) as dataset:
        names = {name for i in dataset.indexes for name, _ in read_sources(dataset, i)}
    assert names == set(map(str, paths.values()))


@pytest.mark.parametrize(
    ("baseline", "offset", "expected"), [("05.11", -1000, -0.1), ("03.01", None, 0.0)]
)
def test_reflectance_follows_from_the_metadata_once(tmp_path, card, baseline, offset, expected):
    root, stored = products.sentinel2(tmp_path, baseline=baseline, offset=offset)
    with pytest.warns(GeocamssWarning, match=f"baseline {baseline}"):
        scene = Scene.open(root, card=card())
    assert {(band.scale, band.offset) for band in scene.bands} == {(1e-4, expected)}
    values, _ = read(scene, "red")
    assert values.max() == stored["B04"].max()  # the numbers stay as they are stored


def test_a_baseline_whose_offset_is_not_told_is_refused(tmp_path):
    root, _ = products.sentinel2(tmp_path, baseline="04.00", offset=None)
    with pytest.raises(SceneError, match=r"lacks BOA_ADD_OFFSET, which baseline 04\.00 has"):
        Scene.open(root)


def test_the_grid_is_the_finest_of_the_wanted_bands(tmp_path, card):
    root, stored = products.sentinel2(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeocamssWarning)
        coarse = Scene.open(root, card=card("swir1", "swir2", "nir08", gsd=20))
        fine = Scene.open(root, card=card("red", "swir2"))
    assert (coarse.width, fine.width) == (60, 120)
    assert [band.index for band in coarse.bands] == [band.index for band in fine.bands]
    values, valid = read(coarse, "swir1", "swir2")
    assert (valid == (np.isin(stored["SCL"], CLEAR) & (stored["B11"] > 0))).all()
    assert (values[0][valid] == stored["B11"][valid]).all()


def test_an_archive_is_its_folder(tmp_path):
    root, _ = products.sentinel2(tmp_path)
    folder = read(Scene.open(root), "red", "swir1")
    archive = products.packed(root)
    shutil.rmtree(root)
    found = read(Scene.open(archive), "red", "swir1")
    assert all((one == other).all() for one, other in zip(folder, found, strict=True))
    (source,) = find_scenes([archive])
    assert source.id == root.stem


def test_the_metadata_file_stands_for_its_product(tmp_path):
    root, _ = products.sentinel2(tmp_path)
    scene = Scene.open(root / "MTD_MSIL2A.xml")
    assert scene.id == root.stem
    with pytest.warns(GeocamssWarning, match="2 of 3 scenes had been named before"):
        named = find_scenes([root / "MTD_MSIL2A.xml", root, tmp_path])
    assert [source.id for source in named] == [root.stem]


def test_level_1c_leaves_out_clouds_and_cirrus(tmp_path):
    root, stored = products.sentinel2_l1c(tmp_path)
    scene = Scene.open(root)
    assert [band.name for band in scene.bands][9:11] == ["water_vapor", "cirrus"]
    values, valid = read(scene, "red", "nir")
    opaque, cirrus, _ = stored["clouds"]
    assert (valid == ~repeated((opaque | cirrus).astype(bool), 6)).all()
    assert (values[0][valid] == stored["B04"][valid]).all()
    assert {(band.scale, band.offset) for band in scene.bands} == {(1e-4, -0.1)}


def test_windows_of_a_stack_are_parts_of_the_whole(tmp_path):
    root, _ = products.sentinel2(tmp_path)
    scene = Scene.open(root)
    grid = choose_grid(scene, 1.0, gsd="native")
    bands = scene.bands
    random = np.random.default_rng(3)
    with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
        values, valid = reader.read(grid.window)
        for _ in range(60):
            row, col = random.integers(0, 119, 2)
            high, wide = (int(random.integers(1, 120 - at)) for at in (row, col))
            part, usable = reader.read(Window(int(row), int(col), high, wide))
            assert (part == values[:, row : row + high, col : col + wide]).all()
            assert (usable == valid[row : row + high, col : col + wide]).all()


@pytest.mark.parametrize("metadata", ["json", "txt", "xml", ""])
def test_a_landsat_folder_is_a_scene(tmp_path, metadata):
    root, stored = products.landsat(tmp_path, metadata=metadata)
    scene = Scene.open(root)
    assert [band.name for band in scene.bands] == [
        *("coastal", "blue", "green", "red", "nir", "swir1", "swir2", "thermal1")
    ]
    scaling = [(band.scale, band.offset) for band in scene.bands]
    assert scaling == [(2.75e-5, -0.2)] * 7 + [(0.00341802, 149.0)]
    day = dt.datetime(2024, 8, 22, tzinfo=dt.UTC)
    assert scene.datetime.replace(hour=0, minute=0, second=0, microsecond=0) == day
    values, valid = read(scene, "red", "swir2")
    some = (stored["SR_B4"] > 0) | (stored["SR_B7"] > 0)
    assert (valid == (((stored["QA_PIXEL"] & 31) == 0) & some)).all()
    assert (values[0][valid] == stored["SR_B4"][valid]).all()


def test_level_1_is_reflectance_under_the_sun(tmp_path, card):
    root, stored = products.landsat(tmp_path, products.PRODUCT_L1)
    scene = Scene.open(root)
    red = next(band for band in scene.bands if band.name == "red")
    assert red.scale == pytest.approx(2e-5 / math.sin(math.radians(50)))
    assert red.offset == pytest.approx(-0.1 / math.sin(math.radians(50)))
    assert scene.gsd == pytest.approx(30, rel=1e-3)
    assert scene.width == 90  # though the panchromatic image ends half a pixel earlier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeocamssWarning)
        sharp = Scene.open(root, card=card("pan", "red", gsd=15))
    assert sharp.gsd == pytest.approx(15, rel=1e-3)
    values, valid = read(sharp, "pan")
    assert (values[0][valid] == stored["B8"][: sharp.height, : sharp.width][valid]).all()


def test_level_1_without_metadata_is_refused(tmp_path):
    root, _ = products.landsat(tmp_path, products.PRODUCT_L1, metadata="")
    with pytest.raises(SceneError, match=r"_MTL\.json .* is missing"):
        Scene.open(root)


def test_of_several_products_in_a_folder_the_metadata_names_one(tmp_path):
    found = {}
    for name in (products.PRODUCT, products.PRODUCT_L1):
        root, found[name] = products.landsat(tmp_path / "apart", name)
        for path in root.iterdir():
            (tmp_path / "all").mkdir(exist_ok=True)
            path.rename(tmp_path / "all" / path.name)
    metadata = {name: tmp_path / "all" / f"{name}_MTL.json" for name in found}
    with pytest.raises(SceneError, match=r"holds 2 products; name the metadata of one.*_MTL\.json"):
        Scene.open(tmp_path / "all")
    for (name, path), band in zip(metadata.items(), ("SR_B4", "B4"), strict=True):
        scene = Scene.open(path)
        assert scene.id == name
        values, valid = read(scene, "red")
        assert (values[0][valid] == found[name][band][:90, :90][valid]).all()
        assert Scene.open(scene.path) == scene
    assert [source.id for source in find_scenes(list(metadata.values()))] == list(metadata)


def test_the_bands_of_an_older_scanner_are_its_own(tmp_path):
    product = "LM05_L1TP_193028_19840822_20200823_02_T1"
    for number in range(1, 5):
        values = products.numbers(number, 20)
        products.write(tmp_path / f"{product}_B{number}.TIF", values, **products.place(60))
    metadata = products.landsat_metadata(product)
    (tmp_path / f"{product}_MTL.json").write_text(json.dumps(metadata))
    assert [b.name for b in Scene.open(tmp_path).bands] == ["green", "red", None, "nir"]


@pytest.mark.parametrize(
    "layer",
    [Quality("x", values=(0, 1, 3, 8, 9, 10)), Quality("x", bits=31), Quality("x", bits=14)],
)
def test_lookup_tables_are_exact(layer, tmp_path):
    """Each number goes through GDAL's own table."""
    top = 2**16 if layer.bits else 256
    side = int(math.sqrt(top))
    numbers = np.arange(top, dtype=np.uint16 if layer.bits else np.uint8).reshape(1, side, side)
    path = products.write(tmp_path / "q.tif", numbers, **products.place(30))
    vrt = (
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><VRTRasterBand dataType="Byte" '
        f'band="1"><ComplexSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>'
        f"<LUT>{lookup_table(layer)}</LUT></ComplexSource></VRTRasterBand></VRTDataset>"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(vrt) as file:
            found = file.read(1).ravel()
    assert set(np.unique(found)) == {0, 255}
    assert [value == 0 for value in found] == [layer.leaves_out(n) for n in range(top)]


def test_patterns_name_scenes_by_their_stars(tmp_path):
    stored = {}
    for scene in ("north_1", "south_2"):
        for seed, band in enumerate(("red", "green", "nir")):
            values = products.numbers(seed, 40)
            stored[scene, band] = values[0]
            size = 20 if band == "nir" else 10
            path = tmp_path / f"scene_{scene}_{band}.tif"
            products.write(path, values[:, :: size // 10, :: size // 10], **products.place(size))
    found = find_scenes([f"{tmp_path}/scene_*_{{band}}.tif"])
    assert [source.id for source in found] == ["scene_north_1", "scene_south_2"]
    for source, key in zip(found, ("north_1", "south_2"), strict=True):
        scene = Scene.open(source.path)
        assert [band.name for band in scene.bands] == ["green", "nir", "red"]
        values, valid = read(scene, "red", "green")
        assert valid.all()
        assert (values == np.stack([stored[key, "red"], stored[key, "green"]])).all()
    with pytest.raises(SceneError, match="holds several scenes"):
        Scene.open(f"{tmp_path}/scene_*_{{band}}.tif")
    with pytest.raises(SceneError, match="no file matches"):
        Scene.open(f"{tmp_path}/other_*_{{band}}.tif")


def test_files_without_common_ground_are_refused(tmp_path):
    products.write(tmp_path / "a_red.tif", products.numbers(0, 10), **products.place(10))
    far = products.place(10, left=products.LEFT + 1000)
    products.write(tmp_path / "a_green.tif", products.numbers(0, 10), **far)
    with pytest.raises(SceneError, match="no ground in common"):
        Scene.open(f"{tmp_path}/a_{{band}}.tif")
    other = {**products.place(10), "crs": "EPSG:32633"}
    products.write(tmp_path / "a_green.tif", products.numbers(0, 10), **other)
    with pytest.raises(SceneError, match="different coordinate systems"):
        Scene.open(f"{tmp_path}/a_{{band}}.tif")


def test_a_band_that_no_model_wants_takes_no_ground_away(tmp_path, card):
    for band in ("B02", "B03", "B04"):
        products.write(tmp_path / f"S2_{band}.tif", products.numbers(0, 40), **products.place(10))
    short = products.numbers(1, 40)[:, :5]
    products.write(tmp_path / "S2_B08.tif", short, **products.place(10))
    pattern = f"{tmp_path}/S2_{{band}}.tif"
    scene = Scene.open(pattern, card=card())
    assert (scene.height, scene.width) == (40, 40)
    assert read(scene, "red")[1].all()
    assert Scene.open(pattern, card=card("red", "nir")).height == 5


def test_a_quality_layer_is_no_band(tmp_path):
    for band in ("B02", "SCL"):
        products.write(tmp_path / f"S2_{band}.tif", products.numbers(0, 8, 9), **products.place(10))
    with pytest.raises(BandError, match=r"red=2 .* quality"):
        Scene.open(f"{tmp_path}/S2_{{band}}.tif", bands={"red": 2})


@pytest.mark.parametrize("angle", [90, 270])
def test_files_turned_by_a_quarter_are_stacked(tmp_path, angle):
    place = products.place(10)
    place["transform"] = place["transform"] * Affine.rotation(angle)
    turned = Affine(*(round(v) for v in place["transform"][:6]))
    for band in ("red", "green"):
        values = products.numbers(0, 30)
        products.write(tmp_path / f"a_{band}.tif", values, crs=place["crs"], transform=turned)
    scene = Scene.open(f"{tmp_path}/a_{{band}}.tif")
    assert scene.transform == turned
    with rasterio.open(scene.opens) as dataset:
        assert (dataset.read() == values).all()


def test_a_slash_too_many_changes_no_pattern(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    products.write(folder / "a_red.tif", products.numbers(0, 9), **products.place(10))
    for pattern in ("//deep/a_{band}.tif", "/deep//a_{band}.tif", "//*//a_{band}.tif"):
        (source,) = find_scenes([f"{tmp_path}{pattern}"])
        assert [band.name for band in Scene.open(source.path).bands] == ["red"]


def test_masks_and_nodata_of_the_files_hold(tmp_path):
    values = products.numbers(1, 30)
    mask = np.random.default_rng(0).random((30, 30)) < 0.8
    products.write(tmp_path / "a_red.tif", values, mask=mask, **products.place(10))
    stored = values.copy()
    stored[:, 10:20] = 77
    products.write(tmp_path / "a_nir.tif", stored, nodata=77, **products.place(10))
    scene = Scene.open(f"{tmp_path}/a_{{band}}.tif")
    assert (read(scene, "red")[1] == mask).all()
    assert (read(scene, "nir")[1] == (stored[0] != 77)).all()


def test_names_with_markup_stay_names(tmp_path):
    folder = tmp_path / "a & <b> \"c\" 'd'"
    folder.mkdir()
    for band in ("red", "<SourceFilename>x</SourceFilename>"):
        path = folder / f"s_{band.replace('/', '')}.tif"
        products.write(path, products.numbers(0, 8), **products.place(10))
    scene = Scene.open(f"{folder}/s_{{band}}.tif")
    labels = [band.label for band in scene.bands]
    assert labels == ["<SourceFilename>x<SourceFilename>", "red"]
    assert read(scene, "red")[1].all()


def test_a_changed_file_or_metadata_changes_the_fingerprint(tmp_path):
    root, _ = products.sentinel2(tmp_path)
    first = Scene.open(root).fingerprint
    assert Scene.open(root).fingerprint == first
    image = next(root.rglob("*_B12_20m.jp2"))
    image.write_bytes(image.read_bytes() + b"\0")
    second = Scene.open(root).fingerprint
    text = (root / "MTD_MSIL2A.xml").read_text()
    (root / "MTD_MSIL2A.xml").write_text(text.replace("10000", "20000"))
    third = Scene.open(root).fingerprint
    assert len({first, second, third}) == 3


def test_a_bundle_in_words_is_the_bundle(tmp_path):
    root, _ = products.sentinel2(tmp_path)
    from geocamss.scene.resolve import resolve

    bundle = resolve(str(root))
    text = bundle.to_text()
    assert Bundle.from_text(text) == bundle
    scene = Scene.open(text)
    assert scene == Scene.open(root)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda root: (root / "MTD_MSIL2A.xml").write_text("<a>"), "is not sound XML"),
        (lambda root: (root / "MTD_MSIL2A.xml").write_text("<a/>"), "does not tell reflectance"),
        (
            lambda root: (root / "MTD_MSIL2A.xml").write_text(
                '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
            ),
            "declares entities",
        ),
        (lambda root: shutil.rmtree(root / "GRANULE"), "no image is in it"),
        (
            lambda root: next(root.rglob("*_B04_10m.jp2")).write_bytes(b"no picture"),
            r"_B04_10m\.jp2: cannot be opened",
        ),
    ],
)
def test_damaged_products_are_refused_by_name(tmp_path, damage, error):
    root, _ = products.sentinel2(tmp_path)
    damage(root)
    with pytest.raises(SceneError, match=error) as caught:
        Scene.open(root)
    assert str(root) in str(caught.value)
