"""Landscapes as files: read back with rasterio, and refused where they would do harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geocamss.errors import GridError, OutputError
from geocamss.simulate import SCHEME, landscape, write


@pytest.fixture(scope="module")
def picture():
    return landscape(4, 300, 200)


def test_a_picture_comes_back_as_it_was(tmp_path: Path, picture) -> None:
    write(picture, tmp_path / "scene.tif", tmp_path / "truth.tif", origin=(500_000, 5_000_000))
    with rasterio.open(tmp_path / "scene.tif") as scene:
        np.testing.assert_array_equal(scene.read(), picture.image)
        np.testing.assert_array_equal(scene.dataset_mask() > 0, picture.valid)
        assert scene.crs.to_epsg() == 32632
        assert scene.transform == rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
        assert scene.nodata == 0
        assert scene.descriptions == ("red", "green", "blue")
        assert scene.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert scene.profile["tiled"]
        assert scene.compression.name == "deflate"
        assert "simulate" in scene.tags()["SIMULATED"]


def test_the_truth_says_what_its_values_mean(tmp_path: Path, picture) -> None:
    write(picture, tmp_path / "scene.tif", tmp_path / "truth.tif")
    with rasterio.open(tmp_path / "truth.tif") as truth:
        np.testing.assert_array_equal(truth.read(1), picture.classes)
        assert truth.nodata == 255
        assert truth.dtypes == ("uint8",)
        colors = truth.colormap(1)
    for entry in SCHEME:
        assert colors[entry.value] == (*entry.color, 255)
    assert colors[255][3] == 0
    names = (tmp_path / "truth.tif.aux.xml").read_text()
    assert all(f"<Category>{name}</Category>" in names for name in SCHEME.names)


def test_reflectance_declares_its_scale_and_wavelengths(tmp_path: Path) -> None:
    bands = ("nir", "red", "swir1")
    scene = landscape(4, 128, 128, gsd=10.0, bands=bands)
    write(scene, tmp_path / "scene.tif", crs="EPSG:32719")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), scene.image)
        assert dataset.dtypes == ("uint16",) * 3
        assert dataset.descriptions == bands
        assert dataset.scales == (1e-4,) * 3
        assert dataset.nodata == 0
        assert dataset.res == (10, 10)
        assert dataset.crs.to_epsg() == 32719
        assert dataset.colorinterp[1] == ColorInterp.red
        wavelength = dataset.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]
    assert float(wavelength) == pytest.approx(0.842)


def test_existing_files_are_kept(tmp_path: Path, picture) -> None:
    scene, truth = tmp_path / "scene.tif", tmp_path / "truth.tif"
    truth.write_text("mine")
    with pytest.raises(OutputError, match=r"truth\.tif exists already.*--overwrite"):
        write(picture, scene, truth)
    assert truth.read_text() == "mine"
    assert not scene.exists()
    write(picture, scene, truth, overwrite=True)
    with rasterio.open(truth) as dataset:
        np.testing.assert_array_equal(dataset.read(1), picture.classes)


def test_impossible_targets_are_named(tmp_path: Path, picture) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write(picture, tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        write(picture, tmp_path / "no" / "scene.tif")
    with pytest.raises(OutputError, match="give two names"):
        write(picture, tmp_path / "one.tif", tmp_path / "one.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "nonsense"])
def test_a_crs_must_be_in_meters(tmp_path: Path, picture, crs: str) -> None:
    with pytest.raises(GridError, match=crs):
        write(picture, tmp_path / "scene.tif", crs=crs)
    assert not list(tmp_path.iterdir())
