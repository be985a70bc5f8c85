"""The project that a run writes, opened in QGIS."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

import geocamss
from geocamss.classes import NODATA
from geocamss.errors import GeocamssWarning
from geocamss.output.colors import color_table
from geocamss.output.project import scene_source
from tests.conftest import ROOT

CARD = geocamss.ModelCard(
    bands=["red", "green", "blue"],
    gsd=0.5,
    scale=1 / 255,
    classes=["Wasser", "Gebäude & <Hof>", 'so-called "land"'],
    chip=64,
    overlap=16,
)
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
LOCAL = (
    'PROJCS["a plant\'s own",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,'
    '298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION['
    '"Transverse_Mercator"],PARAMETER["latitude_of_origin",48.5],PARAMETER["central_meridian",'
    '9.123],PARAMETER["scale_factor",1],PARAMETER["false_easting",1000],PARAMETER['
    '"false_northing",2000],UNIT["metre",1]]'
)


class Brightest(torch.nn.Module):
    """Each pixel's class is its strongest band."""

    def forward(self, chips: torch.Tensor) -> torch.Tensor:
        return 50 * chips


@pytest.fixture(scope="module")
def model():
    return geocamss.from_module(Brightest(), CARD)


def patches(dtype="uint8", most=250):
    """Three bands of patches 6 pixels wide, the first rows without data."""
    coarse = np.random.default_rng(3).integers(1, most, (3, 12, 15))
    pixels = np.kron(coarse, np.ones((1, 6, 6), int)).astype(dtype)
    pixels[:, :7] = 0
    return pixels


def write_scene(path: Path, pixels, crs, transform, **more) -> Path:
    place = {} if transform is None else {"transform": transform}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(pixels),
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype,
            crs=crs,
            nodata=0,
            photometric="RGB",
            **place,
            **more,
        ) as file:
            file.write(pixels)
    return path


def mapped(scene: Path, out: Path, model, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeocamssWarning)  # that a scene has no place
        return geocamss.predict(scene, out, model=model, gsd="native", **more)


def read(path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read()


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


PLACES = {
    "UTM": ("EPSG:32632", UTM),
    "degrees": ("EPSG:4326", Affine(5e-6, 0, 9, 0, -5e-6, 48.75)),
    "feet": ("EPSG:2263", Affine(1.6, 0, 980_000, 0, -1.6, 200_000)),
    "no CRS": (None, Affine(2, 0, 100, 0, -2, 300)),
    "pixel space": (None, None),
    "a CRS without a number": (LOCAL, Affine(0.5, 0, 2000, 0, -0.5, 7000)),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_project_shows_the_map_over_the_scene(qgis, model, tmp_path, place):
    crs, transform = PLACES[place]
    scene = write_scene(tmp_path / "Szene ä.tif", patches(), crs, transform)
    mapped(scene, tmp_path / "first", model)
    folder = tmp_path / "Über uns" / "die Karte & mehr"
    folder.parent.mkdir()
    shutil.move(tmp_path / "first", folder)
    shutil.move(scene, folder.parent)
    found = qgis("look_at_project.py", folder / "map.qgz", tmp_path)

    assert (found["read"], found["error"], found["unavailable"]) == (True, "", [])
    assert found["relative"]
    names = ["polygons", "classes", "confidence", "scene"]
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert found["order"] == list(layers) == names
    assert {name for name in names if not layers[name]["shown"]} == {"confidence"}
    legend = [[c.value, c.name, c.hex] for c in CARD.classes]
    assert layers["classes"]["classes"] == layers["polygons"]["classes"] == legend
    assert layers["confidence"]["renderer"] == "singlebandpseudocolor"
    assert layers["scene"]["renderer"] == "multibandcolor"
    assert str(folder) in layers["classes"]["source"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(folder / "classes.tif") as file:
            bounds, pixels = file.bounds, file.read(1)
    for layer in (found, layers["classes"], layers["confidence"], layers["scene"]):
        assert layer["crs"] == (crs if str(crs).startswith("EPSG") else "")
        assert layer["extent"] == pytest.approx(list(bounds), rel=1e-12)
    if crs == LOCAL:
        assert "9.123" in layers["classes"]["wkt"]
        assert len({layer["wkt"] for layer in layers.values()}) == 1

    table = color_table(CARD.classes)
    expected = np.array([table[v][:3] if v != NODATA else (255,) * 3 for v in range(256)])[pixels]
    assert np.array_equal(picture(tmp_path / "classes.png"), expected)
    seen = np.where(pixels == NODATA, 255, read(folder.parent / scene.name))
    assert np.array_equal(picture(tmp_path / "scene.png"), seen.transpose(1, 2, 0))
    # Patches are 6 pixels wide, and outlines thinner than two.
    whole = picture(tmp_path / "project.png")
    assert np.array_equal(whole[3::6, 3::6], expected[3::6, 3::6])


def test_numbers_beyond_bytes_are_stretched_as_in_the_preview(qgis, model, tmp_path):
    pixels = patches("uint16", 9000)
    scene = write_scene(tmp_path / "s.tif", pixels, "EPSG:32632", UTM)
    with rasterio.open(scene, "r+") as file:
        file.scales, file.offsets = [1e-4] * 3, [-0.1] * 3
    mapped(scene, tmp_path / "out", model)
    found = qgis("look_at_project.py", tmp_path / "out" / "map.qgz", tmp_path)
    assert found["unavailable"] == []
    low, high = np.percentile(pixels[:, 7:], (2, 98), axis=(1, 2))[..., None, None]
    expected = np.clip((pixels - low) / (high - low), 0, 1) * 255
    seen = picture(tmp_path / "scene.png").transpose(2, 0, 1)
    assert np.abs(seen[:, 7:].astype(float) - expected[:, 7:]).max() <= 1


def test_the_picture_of_the_pages_has_every_class_on_the_map_and_in_the_legend(
    qgis, model, tmp_path
):
    scene = write_scene(tmp_path / "s.tif", patches(), "EPSG:32632", UTM)
    mapped(scene, tmp_path / "out", model)
    size = qgis(ROOT / "docs" / "qgis_picture.py", tmp_path / "out" / "map.qgz", tmp_path / "p.png")
    drawn = picture(tmp_path / "p.png")
    assert drawn.shape[:2] == (size["height"], size["width"])
    for entry in CARD.classes:
        where = np.flatnonzero((drawn == entry.color).all(axis=2).any(axis=0))
        assert where.min() < 0.2 * size["width"]
        assert where.max() > 0.4 * size["width"]


def test_a_palette_picture_keeps_its_colors(qgis, model, tmp_path):
    scene = tmp_path / "s.tif"
    indices = np.kron(np.arange(12).reshape(3, 4), np.ones((6, 6), int)).astype("uint8")
    table = {k: (20 * k, 255 - 20 * k, 7 * k, 255) for k in range(12)}
    with rasterio.open(
        scene, "w", driver="GTiff", count=1, height=18, width=24, dtype="uint8",
        crs="EPSG:32632", transform=UTM,
    ) as file:  # fmt: skip
        file.write(indices, 1)
        file.write_colormap(1, table)
    mapped(scene, tmp_path / "out", model)
    found = qgis("look_at_project.py", tmp_path / "out" / "map.qgz", tmp_path)
    assert found["unavailable"] == []
    expected = np.array([table[k][:3] for k in range(12)])[indices]
    assert np.array_equal(picture(tmp_path / "scene.png"), expected)


def test_a_project_holds_only_what_was_written(qgis, model, tmp_path):
    scene = write_scene(tmp_path / "s.tif", patches(), "EPSG:32632", UTM)
    mapped(scene, tmp_path / "out", model, outputs=("classes", "project"))
    found = qgis("look_at_project.py", tmp_path / "out" / "map.qgz", tmp_path)
    assert found["order"] == ["classes", "scene"]
    assert found["unavailable"] == []


def test_the_uncertainty_waits_to_be_asked_for(qgis, model, tmp_path):
    scene = write_scene(tmp_path / "s.tif", patches(), "EPSG:32632", UTM)
    mapped(scene, tmp_path / "out", model, outputs=("classes", "uncertainty", "project"))
    found = qgis("look_at_project.py", tmp_path / "out" / "map.qgz", tmp_path)
    assert found["order"] == ["classes", "uncertainty", "scene"]
    assert found["unavailable"] == []
    layer = found["layers"][1]
    assert (layer["shown"], layer["renderer"]) == (False, "singlebandpseudocolor")
    assert "colorrampshader" in (tmp_path / "out" / "uncertainty.qml").read_text("utf-8")


def test_one_map_gives_one_project(model, tmp_path):
    scene = write_scene(tmp_path / "s.tif", patches(), "EPSG:32632", UTM)
    for name in ("a", "b"):
        mapped(scene, tmp_path / name, model, outputs=("project",))
    assert (tmp_path / "a" / "map.qgz").read_bytes() == (tmp_path / "b" / "map.qgz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "map.qgz") as archive:
        assert archive.namelist() == ["map.qgs"]
        assert archive.testzip() is None


@pytest.mark.parametrize(
    ("scene", "home", "source"),
    [
        ("/data/town/scene.tif", "/data/town/out", "../scene.tif"),
        ("/data/town/out/scene.tif", "/data/town/out", "./scene.tif"),
        ("/data/town/raw/a b.tif", "/data/town/out", "../raw/a b.tif"),
        ("/data/../data/town/scene.tif", "/data/town/out", "../scene.tif"),
        ("/archive/scene.tif", "/data/town/out", "/archive/scene.tif"),
        ("/scene.tif", "/out", "/scene.tif"),
        ("https://example.org/a.tif?x=1", "/out", "/vsicurl/https://example.org/a.tif?x=1"),
        ("s3://bucket/a.tif", "/out", "/vsis3/bucket/a.tif"),
        ("/vsizip/a.zip/b.tif", "/out", "/vsizip/a.zip/b.tif"),
        ('NETCDF:"a.nc":red', "/out", 'NETCDF:"a.nc":red'),
    ],
)
def test_a_scene_nearby_is_found_from_the_project(scene, home, source):
    assert scene_source(scene, Path(home)) == source
