"""What polygons will take, against what they do take."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import shapes
from scipy.ndimage import label

from geocamss.output.classmap import BAND_PIXELS, ClassMap
from geocamss.output.outline import Outline
from geocamss.output.polygons import polygonize

from .maps import SCHEME, class_maps, write_map

VALUES = [*SCHEME.values[:3], 255]


@given(class_maps(7), st.integers(1, 20))
def test_the_corners_are_those_of_the_polygons(tmp_path_factory, pixels, band):
    """GDAL's own polygons of the same map are the oracle, and SciPy's regions and holes."""
    path = write_map(tmp_path_factory.mktemp("map") / "c.tif", pixels)
    found = [shapely.geometry.shape(s) for s, value in shapes(pixels) if value != 255]
    rings = [ring for shape in found for ring in (shape.exterior, *shape.interiors)]
    corners = sum(_turns(np.array(ring.coords)[:-1]) for ring in rings)
    source = ClassMap.open(path)
    bands = ClassMap.bands
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassMap, "bands", lambda self, _=BAND_PIXELS: bands(self, band))
        outline = Outline.of(source)
    assert outline.vertices == corners
    assert outline.regions == max(0, len(found) - _holes(pixels))


def _holes(pixels):
    """What each region encloses, where diagonal neighbors hang together."""
    count = 0
    for value in np.unique(pixels[pixels != 255]):
        regions, number = label(pixels == value)
        for region in range(1, number + 1):
            around = np.pad(regions != region, 1, constant_values=True)
            count += label(around, np.ones((3, 3)))[1] - 1
    return count


def _turns(ring):
    before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
    return int(np.count_nonzero(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]))


@pytest.mark.parametrize("side", [1, 2, 6])
def test_a_file_takes_what_is_said_or_little_more(tmp_path, side):
    coarse = np.random.default_rng(side).choice(VALUES, (240 // side, 240 // side))
    pixels = np.kron(coarse, np.ones((side, side), int)).astype(np.uint8)
    path = write_map(tmp_path / "c.tif", pixels)
    polygonize(path, None, tmp_path / "o.gpkg", SCHEME)
    size, said = (tmp_path / "o.gpkg").stat().st_size, Outline.of(ClassMap.open(path)).bytes
    assert 0.75 * size < said <= size < Outline.most_bytes(pixels.size)
