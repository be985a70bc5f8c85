"""Rasters are whole or not there, and what waits to be compressed can be read meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geocamss.errors import DiskFullError
from geocamss.output.raster import RasterSpec, RasterWriter
from geocamss.scene.window import Window

SPEC = RasterSpec(
    rasterio.CRS.from_epsg(32632), from_origin(5e5, 5e6, 2, 2), (600, 700), "class", "MODE", {}
)


def pixels():
    return np.random.default_rng(0).integers(0, 5, SPEC.shape, np.uint8)


def write(writer, values):
    """Row by row of unequal windows, as blocks come."""
    for top, bottom in ((0, 250), (250, 600)):
        for left, right in ((0, 512), (512, 700)):
            part = values[top:bottom, left:right]
            writer.write(Window(top, left, *part.shape), part)


def test_a_sealed_raster_holds_the_pixels_of_the_finished_one_until_the_writer_is_left(tmp_path):
    target = tmp_path / "classes.tif"
    values = pixels()
    with RasterWriter(SPEC, target) as writer:
        write(writer, values)
        plain = writer.seal()
        assert not target.exists()
        writer.finish()
        for path in (plain, target):
            with rasterio.open(path) as file:
                np.testing.assert_array_equal(file.read(1), values)
                assert (file.crs, file.transform) == (SPEC.crs, SPEC.transform)
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_left_early_leaves_nothing(tmp_path):
    def spoiled():
        with RasterWriter(SPEC, tmp_path / "classes.tif") as writer:
            write(writer, pixels())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoiled()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_is_told_before_anything_is_taken_away(small_disk):
    """Noise does not get smaller, so that there is room for one of the two files."""
    noise = np.random.default_rng(0).integers(0, 250, (1700, 1700), np.uint8)
    spec = replace(SPEC, shape=noise.shape)

    def fill():
        with RasterWriter(spec, small_disk / "classes.tif") as writer:
            writer.write(Window(0, 0, *noise.shape), noise)
            writer.finish()

    with pytest.raises(
        DiskFullError, match=r"full: about 2\.9 MB more are needed, and [012]\.\d MB"
    ):
        fill()
