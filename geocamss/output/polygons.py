"""Polygons: a class map as outlines in a vector file.

Rasterized, they are the class map again, pixel for pixel, unless another shaping is asked for.
They do not depend on how the map is cut into bands, and neither does their order: that of their
last pixels. Memory is that of a band, of the polygons that are not finished yet, and of one batch;
simplifying takes a quarter of a byte for each pixel besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geocamss.ahead import ahead
from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import PixelAreas, check_named
from geocamss.output.classmap import BAND_PIXELS, Band, BandSource, ClassMap
from geocamss.output.features import Features, Shaper, in_batches
from geocamss.output.majority import Smoothed
from geocamss.output.rings import Regions, Tracer
from geocamss.output.runs import Runs
from geocamss.output.shaping import EXACT, Shaping
from geocamss.output.sieve import Sieved
from geocamss.output.vectorfile import LAYER, checked_target, write_features

__all__ = ["LAYER", "polygonize", "readings", "write_polygons"]


def polygonize(
    classes: Path,
    confidence: Path | None,
    target: Path,
    scheme: ClassScheme,
    shaping: Shaping = EXACT,
    *,
    band_pixels: int = BAND_PIXELS,
) -> int:
    """Write the 4-connected regions of a class map as polygons.

    Args:
        classes: the class raster.
        confidence: its confidence, percent, on the same pixels.
        target: the file, see ``write_polygons``.
        scheme: names the values.
        shaping: what is done to them; nothing, if left out.
        band_pixels: pixels that are read at once; changes speed and memory, never the file.

    Returns:
        Number of polygons.

    Raises:
        InputError: the file's name has no ending of a known format.
        SceneError: the map cannot be opened, or holds a value that the scheme does not name.
        ReadError: pixels cannot be read.
        OutputError: the file cannot be written.
        DiskFullError: no room is left for it.
    """
    source = ClassMap.open(classes, confidence)
    return write_polygons(source, Path(target), scheme, shaping, band_pixels=band_pixels).total()


def readings(shaping: Shaping) -> int:
    """How often each pixel of a map is read to make its polygons."""
    if shaping.min_area == 0:
        return 1
    return 4 if shaping.smooth else 2


def write_polygons(
    source: ClassMap,
    target: Path,
    scheme: ClassScheme | None,
    shaping: Shaping = EXACT,
    *,
    band_pixels: int = BAND_PIXELS,
    tell: Callable[[int], None] = lambda _: None,
) -> Counter[int]:
    """Write the polygons of a class map that is open.

    The layer ``polygons`` has the fields ``class`` (integer), ``name``, ``confidence`` (mean over
    the polygon's pixels, percent; NULL where none is known), ``area_m2`` (on the ground, see
    ``areas``; without a CRS, in pixels) and ``perimeter_m`` (likewise, holes included). Nodata
    gives none.

    Args:
        source: the map.
        target: a GeoPackage (.gpkg), GeoParquet (.parquet) or FlatGeobuf (.fgb); it appears when
            it is complete, and replaces one that is there.
        scheme: names the class values; None for a map without any.
        shaping: what is done to map and polygons.
        band_pixels: pixels that are read at once; changes speed and memory, never the file.
        tell: told now and then how many more pixels have been read; see ``readings``.

    Returns:
        Number of polygons of each number in the field ``class``.

    Raises:
        As ``polygonize``.
    """
    checked_target(target)
    features = _features(source, scheme, shaping, band_pixels, tell)
    numbers = None if source.values is None else dict(enumerate(source.values))
    return write_features(features, target, source.crs, scheme, numbers)


def _features(
    source: ClassMap,
    scheme: ClassScheme | None,
    shaping: Shaping,
    band_pixels: int,
    tell: Callable[[int], None],
) -> Iterator[Features]:
    ground = PixelAreas(source.crs, source.transform, source.width, source.height)
    shaper = Shaper(source, scheme, shaping, ground.unit)
    # What is shaped is often edited next: neighbors then need their borders' vertices in common.
    tracer = Tracer(source.width, measures=3, shared_vertices=shaping.changes_borders)

    def regions() -> Iterator[Regions]:
        for band in _shaped(_Told(source, tell), ground, shaping).bands(band_pixels):
            if scheme is not None:
                check_named(np.unique(band.classes), scheme, source.classes)
            if shaper.corners is not None:
                shaper.corners.feed(band.classes)
            found = tracer.feed(band.classes, partial(_measure, band, ground))
            if found is not None:
                yield found
        if shaper.corners is not None:
            shaper.corners.feed(np.full((1, source.width), NODATA, dtype=np.uint8))
        yield tracer.finish()

    # Tracing, shaping and writing go on side by side.
    return ahead(map(shaper, in_batches(ahead(regions()))))


class _Told:
    """A class map that tells of pixels when they have been read and used."""

    def __init__(self, source: ClassMap, tell: Callable[[int], None]) -> None:
        self._source = source
        self._tell = tell
        self.width = source.width

    def bands(self, pixels: int = BAND_PIXELS) -> Iterator[Band]:
        for band in self._source.bands(pixels):
            yield band
            self._tell(band.classes.size)


def _shaped(source: BandSource, ground: PixelAreas, shaping: Shaping) -> BandSource:
    """The map whose regions become polygons."""
    shaped: BandSource = source
    if shaping.min_area > 0:
        shaped = Sieved(shaped, ground, shaping.min_area)
    if shaping.smooth:
        shaped = Smoothed(shaped)
        if shaping.min_area > 0:  # what has been cut off a region may be small
            shaped = Sieved(shaped, ground, shaping.min_area)
    return shaped


def _measure(band: Band, ground: PixelAreas, runs: Runs) -> NDArray[np.int64]:
    """Area in units, sum of the known confidences, and their number, (3, n)."""
    areas = ground.of_runs(runs)
    if band.confidence is None:
        return np.stack((areas, np.zeros_like(areas), np.zeros_like(areas)))
    unknown = band.confidence == NODATA
    if not (unknown & (band.classes != NODATA)).any():
        return np.stack((areas, runs.sums(band.confidence), runs.stop - runs.start))
    known = (~unknown).view(np.uint8)
    return np.stack((areas, runs.sums(band.confidence * known), runs.sums(known)))
