"""The majority filter, against SciPy's, pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geocamss.classes import NODATA
from geocamss.output.classmap import ClassMap
from geocamss.output.majority import Smoothed

from .maps import class_maps, landscape, write_map


def expected(pixels):
    def vote(around):
        own = around[4]
        if own == NODATA:
            return NODATA
        values, counts = np.unique(around[around != NODATA], return_counts=True)
        best = values[counts == counts.max()]
        return own if own in best else best[0]

    return ndimage.generic_filter(pixels, vote, size=3, mode="constant", cval=NODATA)


@settings(max_examples=40)
@given(pixels=class_maps(), band=st.integers(1, 60))
def test_each_pixel_goes_with_most_of_those_around_it(pixels, band, tmp_path_factory):
    folder = tmp_path_factory.mktemp("majority")
    percent = (np.arange(pixels.size) % 101).astype(np.uint8).reshape(pixels.shape)
    classes = write_map(folder / "c.tif", pixels)
    confidence = write_map(folder / "p.tif", percent)
    bands = list(Smoothed(ClassMap.open(classes, confidence)).bands(band))
    assert np.array_equal(np.concatenate([b.classes for b in bands]), expected(pixels))
    assert np.array_equal(np.concatenate([b.confidence for b in bands]), percent)
    assert [b.row for b in bands] == list(np.cumsum([0, *(len(b.classes) for b in bands[:-1])]))


def test_smoothing_takes_single_pixels_and_keeps_straight_borders(tmp_path):
    pixels = landscape(40, 40)
    pixels[:, 20:] = 3
    pixels[10, 30] = 1
    source = ClassMap.open(write_map(tmp_path / "c.tif", pixels))
    (band,) = [b for b in Smoothed(source).bands() if b.row == 0]
    assert (band.classes[:39, 21:] == 3).all()
