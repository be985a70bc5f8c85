"""The laws of sieving, against SciPy's labels and a graph that is merged step by step."""

from __future__ import annotations

import numpy as np
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geocamss.classes import NODATA
from geocamss.output.areas import PixelAreas
from geocamss.output.classmap import ClassMap
from geocamss.output.sieve import sieve

from .maps import NORTH_UP, class_maps, landscape, write_map


def sieved(folder, pixels, min_area, band_pixels=10**6, *, crs=None, transform=NORTH_UP):
    path = write_map(folder / "c.tif", pixels, crs, transform)
    source = ClassMap.open(path)
    ground = PixelAreas(source.crs, source.transform, source.width, source.height)
    return np.concatenate([b.classes for b in sieve(source, ground, min_area, band_pixels)])


def regions(pixels) -> np.ndarray:
    """4-connected regions from 1; 0 is nodata."""
    numbers = np.zeros(pixels.shape, dtype=np.int64)
    for value in np.setdiff1d(pixels, [NODATA]):
        labels, _ = ndimage.label(pixels == value)
        numbers += np.where(labels > 0, labels + numbers.max(), 0)
    return numbers


@settings(max_examples=60)
@given(pixels=class_maps(), least=st.integers(1, 30), band=st.integers(1, 60))
def test_nothing_small_is_left_and_only_small_islands_go(pixels, least, band, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sieve")
    result = sieved(folder, pixels, least)
    islands, _ = ndimage.label(pixels != NODATA)
    kept = (np.bincount(islands.ravel()) >= least)[islands] & (islands > 0)
    assert np.array_equal(result != NODATA, kept)
    assert set(result.ravel()) <= {*pixels.ravel(), NODATA}
    assert (np.bincount(regions(result).ravel())[1:] >= least).all()
    before = regions(pixels)
    sizes = np.bincount(before.ravel())
    large = (sizes[before] >= least) & (before > 0)
    assert np.array_equal(result[large], pixels[large])
    assert np.array_equal(sieved(folder, pixels, least, band), result)


def test_a_small_region_takes_the_class_along_its_longest_border(tmp_path):
    pixels = np.array(
        [
            [0, 0, 0, 0, 1, 1],
            [0, 0, 4, 4, 1, 1],
            [0, 0, 0, 4, 1, 1],
            [0, 0, 0, 0, 1, 1],
        ],
        dtype=np.uint8,
    )
    expected = np.where(pixels == 4, 0, pixels)
    assert np.array_equal(sieved(tmp_path, pixels, 4), expected)
    assert np.array_equal(sieved(tmp_path, pixels, 3), pixels)


def test_a_small_island_in_nodata_goes_and_a_small_hole_stays(tmp_path):
    pixels = np.full((9, 12), NODATA, dtype=np.uint8)
    pixels[1:6, 1:6] = 1
    pixels[3, 3] = NODATA
    pixels[1:3, 8:11] = 1  # beside it, two classes that are large enough together
    pixels[1:3, 10] = 2
    expected = pixels.copy()
    expected[1:3, 10] = 1
    assert np.array_equal(sieved(tmp_path, pixels, 6), expected)
    expected[1:3, 8:11] = NODATA
    assert np.array_equal(sieved(tmp_path, pixels, 7), expected)
    assert (sieved(tmp_path, pixels, 25) == NODATA).all()


def test_areas_are_those_on_the_ground(tmp_path):
    """A pixel of 100 nominal square meters has 25 in Web Mercator at 60 degrees north."""
    pixels = np.zeros((5, 5), dtype=np.uint8)
    pixels[2, 2] = 1
    transform = Affine(10, 0, 1e6, 0, -10, 8.4e6)
    assert sieved(tmp_path, pixels, 30, crs="EPSG:3857", transform=transform).max() == 0
    assert sieved(tmp_path, pixels, 20, crs="EPSG:3857", transform=transform).max() == 1


def test_sieving_again_changes_nothing(tmp_path):
    once = sieved(tmp_path, landscape(120, 130), 40)
    assert np.array_equal(sieved(tmp_path, once, 40), once)
    assert len(np.unique(once)) > 3
