"""Some 400 rasters that are odd, hostile or broken, from the tests of GDAL and rasterio.

Each is read as GDAL reads it, or refused with an error that says why; never anything else.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterWindow

from geocamss.errors import GeocamssError, GeocamssWarning
from geocamss.scene.gdal import open_raster
from geocamss.scene.grid import Grid, choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window

SIDE = 256
"""Larger scenes are read at two corners only."""

UNPLACED = Affine(1, 0, 0, 0, -1, 0)
"""Where the grid lays pixels that GDAL knows no place of: rows down, as viewers lay them."""

SECONDS = 60
"""No file may take longer."""

MEGABYTES = 700
"""All files together may not make memory grow by more."""

REFUSED = {"SceneError": 95, "ReadError": 20, "GridError": 5}
"""How many may be refused at most, by error: what GDAL reads must not be refused too easily."""


def faults(shared_data: Path) -> list[Path]:
    found = [Path(top) / n for top, _, names in os.walk(shared_data / "faults") for n in names]
    return sorted(found)


def corners(grid: Grid) -> list[Window]:
    height, width = min(grid.height, SIDE), min(grid.width, SIDE)
    last = Window(grid.height - height, grid.width - width, height, width)
    return [Window(0, 0, height, width)] + ([last] if last.row or last.col else [])


def check_own_pixels(path: Path) -> None:
    """The scene's own pixels are those that GDAL reads, and valid where GDAL says so."""
    scene = Scene.open(path)
    bands = scene.bands[:4]
    grid = choose_grid(scene, 1.0, gsd="native")
    with open_raster(str(path)) as dataset:
        if grid.aligned is None:
            return
        assert grid.shape == dataset.shape
        assert grid.transform == (UNPLACED if dataset.transform.is_identity else dataset.transform)
        assert grid.crs == (dataset.crs if scene.georeferencing == "transform" else None)
        with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
            for window in corners(grid):
                check_window(dataset, reader, window)


def check_window(dataset, reader: SceneReader, window: Window) -> None:
    found, valid = reader.read(window)
    part = RasterWindow(window.col, window.row, window.width, window.height)
    indexes = [band.index for band in reader.bands]
    stored = dataset.read(indexes, window=part)
    shown = dataset.read_masks(indexes, window=part) > 0
    if stored.dtype.kind == "f":
        shown &= np.isfinite(stored)
    assert (valid == shown.any(axis=0)).all()
    if reader.bands[0].color is None:
        assert found.dtype == stored.dtype
        assert (found[shown] == stored[shown]).all()
    else:
        table = dataset.colormap(1)
        colors = np.array([table.get(i, (0, 0, 0, 0))[:3] for i in stored[0].ravel().tolist()])
        expected = colors.reshape(*window.shape, 3).transpose(2, 0, 1)
        assert (found == np.where(valid, expected, 0)).all()


def check_new_pixels(path: Path) -> None:
    """New pixels, half as many each way, are finite, in range, and valid only over the scene."""
    scene = Scene.open(path)
    if scene.crs is None:
        return
    bands = scene.bands[:4]
    grid = choose_grid(scene, 2 * (scene.gsd or 1.0))
    assert grid.aligned is None
    with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
        for window in corners(grid):
            found, _ = reader.read(window)
            assert found.shape == (len(bands), *window.shape)
            assert np.isfinite(found).all()
        around, outside = reader.read(Window(-40, -40, 20, 20))
    assert not outside.any()
    assert not around.any()


@pytest.mark.parametrize("check", [check_own_pixels, check_new_pixels])
def test_every_file_is_read_as_gdal_reads_it_or_refused(shared_data, check):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for path in faults(shared_data):
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GeocamssWarning)
                check(path)
        except GeocamssError as error:
            refused.setdefault(type(error).__name__, []).append(path.name)
            unnamed += [] if str(path) in str(error) else [path.name]
        except Exception as error:
            raise AssertionError(f"{path}: {type(error).__name__}: {error}") from error
        assert time.perf_counter() - start < SECONDS, path
    assert {kind: names for kind, names in refused.items() if len(names) > REFUSED[kind]} == {}
    assert not unnamed  # every message names the file
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown / 1024 < MEGABYTES


@pytest.mark.parametrize("asked", [None, "YES", "TRUSTED_MODULES"])
def test_python_in_a_file_is_not_run(shared_data, monkeypatch, asked):
    """Whatever the environment says."""
    if asked:
        monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", asked)
    path = shared_data / "faults/gdal/gdrivers/data/vrt/python_ones.vrt"
    with (
        pytest.warns(GeocamssWarning, match="not georeferenced"),
        pytest.raises(GeocamssError, match="explicitly disabled"),
    ):
        check_own_pixels(path)


def test_masks_are_those_of_the_dataset(shared_data):
    """Where rasterio has one mask for the dataset, over all bands, it is ours."""
    names = (
        "RGB.byte.tif",
        "RGBA.byte.tif",
        "RGBA.uint16.tif",
        "alpha.tif",
        "cogeo.tif",
        "red.tif",
    )
    for name in (*names, "float_nan.tif", "float_raster_with_nodata.tif", "all-nodata.tif"):
        path = shared_data / "faults/rasterio/data" / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GeocamssWarning)
            scene = Scene.open(path)
            grid = choose_grid(scene, 1.0, gsd="native")
        bands = scene.bands
        with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
            _, valid = reader.read(grid.window)
        with open_raster(str(path)) as dataset:
            assert (valid == (dataset.dataset_mask() > 0)).all(), name


def test_rasters_of_rasterio_tests_that_are_sound_are_not_refused(shared_data):
    for path in (shared_data / "faults/rasterio/data").glob("*.tif"):
        if path.name != "corrupt.tif":
            Scene.open(path)
    assert rasterio.__version__
