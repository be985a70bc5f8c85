"""Class rasters as they are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.classes import NODATA
from geocamss.output.classmap import ClassMap
from geocamss.output.runs import find_runs

from .maps import class_maps, landscape, write_map


@pytest.mark.parametrize("size", [1, 100, 777, 10**6])
def test_bands_are_the_map_and_its_confidence(tmp_path, size):
    pixels = landscape(70, 50)
    percent = (np.arange(3500) % 101).astype(np.uint8).reshape(70, 50)
    classes = write_map(tmp_path / "c.tif", pixels, tiled=True, blockxsize=16, blockysize=16)
    confidence = write_map(tmp_path / "p.tif", percent)
    bands = list(ClassMap.open(classes, confidence).bands(size))
    assert np.array_equal(np.concatenate([b.classes for b in bands]), pixels)
    assert np.array_equal(np.concatenate([b.confidence for b in bands]), percent)
    assert [b.row for b in bands] == list(np.cumsum([0, *(len(b.classes) for b in bands[:-1])]))
    assert max(b.classes.size for b in bands) <= max(size, 50)


def test_the_window_with_data_is_the_smallest(tmp_path):
    pixels = np.full((30, 40), NODATA, dtype=np.uint8)
    source = ClassMap.open(write_map(tmp_path / "c.tif", pixels))
    assert source.data_window() is None
    pixels[5, 7] = pixels[20, 11] = 0
    source = ClassMap.open(write_map(tmp_path / "c.tif", pixels))
    assert source.data_window() == (5, 7, 21, 12)


@given(class_maps(), st.integers(0, 100))
def test_runs_are_the_pixels_in_reading_order(pixels, row):
    runs = find_runs(pixels, row)
    again = np.repeat(runs.values, runs.stop - runs.start).reshape(pixels.shape)
    assert np.array_equal(again, pixels)
    assert (np.diff(runs.row) >= 0).all()
    assert runs.row[0] == row
    weights = np.arange(pixels.size, dtype=np.uint8).reshape(pixels.shape)
    sums = [
        weights[r - row, a:b].sum() for r, a, b in zip(runs.row, runs.start, runs.stop, strict=True)
    ]
    assert runs.sums(weights).tolist() == sums
