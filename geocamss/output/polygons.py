"""Polygons: a class map as exact outlines in a GeoPackage.

Rasterized, they are the class map again, pixel for pixel. They do not depend on how the map is cut
into bands, and neither does their order: that of their last pixels. Memory is that of a band, of
the polygons that are not finished yet, and of one batch.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.transform import Affine

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import DiskFullError, OutputError
from geocamss.output.areas import PixelAreas, check_named
from geocamss.output.classmap import BAND_PIXELS, Band, ClassMap
from geocamss.output.rings import Regions, Tracer
from geocamss.output.runs import Runs
from geocamss.output.sieve import sieve
from geocamss.output.style import embed_style

__all__ = ["LAYER", "polygonize"]

LAYER = "polygons"
"""The layer's name."""

BATCH = 50_000
"""Features that are written at once."""

BATCH_VERTICES = 2_000_000
"""Vertices that are written at once, unless one feature has more."""

# What GDAL takes for "no CRS, plane coordinates" in a GeoPackage.
_NO_CRS = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'

_SPARE_BYTES = 1 << 20
"""With less than that, a disk is full: an index grows by such steps."""

_OPTIONS = {
    # Stands for the time of the last change, so that one map always gives the same bytes.
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",
    # A file that is not finished is thrown away, so it need not survive a crash on the way.
    "OGR_SQLITE_SYNCHRONOUS": "OFF",
    "OGR_SQLITE_JOURNAL": "MEMORY",
}


def polygonize(
    classes: Path,
    confidence: Path | None,
    target: Path,
    scheme: ClassScheme,
    *,
    min_area: float = 0.0,
    shared_vertices: bool = False,
    band_pixels: int = BAND_PIXELS,
) -> int:
    """Write the 4-connected regions of a class map as polygons.

    The layer ``polygons`` has the fields ``class`` (integer), ``name``, ``confidence`` (mean over
    the polygon's pixels, percent; NULL where none is known) and ``area_m2`` (the ground under its
    pixels, see ``areas``; without a CRS their number). Nodata gives none.

    Args:
        classes: the class raster.
        confidence: its confidence, percent, on the same pixels.
        target: the GeoPackage; it appears when it is complete, and replaces one that is there.
        scheme: names the values.
        min_area: square meters on the ground; smaller regions are given to their neighbors first,
            see ``sieve``. Then the polygons are no longer exactly the class map.
        shared_vertices: give neighbors all vertices of their common border (a valid coverage),
            instead of corners only.
        band_pixels: pixels that are read at once; changes speed and memory, never the file.

    Returns:
        Number of polygons.

    Raises:
        SceneError: the map cannot be opened, or holds a value that the scheme does not name.
        ReadError: pixels cannot be read.
        OutputError: the file cannot be written.
        DiskFullError: no room is left for it.
    """
    source = ClassMap.open(classes, confidence)
    ground = PixelAreas(source.crs, source.transform, source.width, source.height)
    tracer = Tracer(source.width, measures=3, shared_vertices=shared_vertices)
    bands = source.bands(band_pixels)
    if min_area > 0:
        bands = sieve(source, ground, min_area, band_pixels)
    with _Writer(Path(target), source.crs, source.transform, scheme, ground.unit) as writer:
        for band in bands:
            check_named(np.unique(band.classes), scheme, source.classes)
            regions = tracer.feed(band.classes, partial(_measure, band, ground))
            if regions is not None:
                writer.add(regions)
        writer.add(tracer.finish())
    return writer.written


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


class _Writer:
    """Gathers regions into batches and appends these to a file that is then given its name."""

    def __init__(
        self, target: Path, crs: CRS | None, transform: Affine, scheme: ClassScheme, unit: float
    ) -> None:
        self._target = target
        self._part = target.with_name(f".{target.stem}.part{target.suffix}")
        self._crs = _crs_text(crs)
        self._transform = transform
        self._unit = unit
        self._scheme = scheme
        self._names = np.full(256, "", dtype=object)
        for value, entry in scheme.by_value().items():
            self._names[value] = entry.name
        self._waiting: list[Regions] = []
        self._features = 0
        self._vertices = 0
        self.written = 0

    def __enter__(self) -> Self:
        self._part.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                if self._features or not self.written:
                    self._flush()
                self._finish()
        finally:
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            embed_style(self._part, LAYER, self._scheme)
            self._part.replace(self._target)
        except (sqlite3.Error, OSError) as error:
            raise _write_error(self._target, error) from error

    def add(self, regions: Regions) -> None:
        """Take finished regions; batches depend on their sequence only."""
        first = 0
        ends = regions.rings[regions.polygons[1:]]
        while first < len(regions):
            before = ends[first - 1] if first else 0
            room = np.searchsorted(ends, before + BATCH_VERTICES - self._vertices, side="right")
            last = min(int(room), first + BATCH - self._features)
            if last <= first and not self._features:
                last = first + 1
            if last > first:
                self._waiting.append(_slice(regions, first, last))
                self._features += last - first
                self._vertices += int(ends[last - 1] - before)
                first = last
            if first < len(regions):
                self._flush()

    def _flush(self) -> None:
        shapes = [np.zeros(0, dtype=object)]
        shapes += [_geometries(regions, self._transform) for regions in self._waiting]
        values = _joined([r.values for r in self._waiting], np.uint8)
        area, percent, known = _joined([r.measures for r in self._waiting], np.int64, rows=3)
        mean = np.full(len(values), np.nan)
        np.divide(percent, known, out=mean, where=known > 0)
        fields = {
            "class": values.astype(np.int32),
            "name": self._names[values],
            "confidence": mean,
            "area_m2": area * self._unit,
        }
        self._append(shapely.to_wkb(np.concatenate(shapes)), fields)
        self.written += len(values)
        self._waiting, self._features, self._vertices = [], 0, 0

    def _append(self, geometry: NDArray[Any], fields: dict[str, NDArray[Any]]) -> None:
        try:
            with _gdal_options():
                pyogrio.raw.write(
                    self._part,
                    geometry,
                    list(fields.values()),
                    list(fields),
                    layer=LAYER,
                    driver="GPKG",
                    geometry_type="Polygon",
                    crs=self._crs,
                    append=self.written > 0,
                    dataset_options={"VERSION": "1.2"},  # GDAL before 3.7 warns about later ones
                )
        except (DataSourceError, DataLayerError, RuntimeError, OSError) as error:
            needed = _SPARE_BYTES + 2 * sum(len(shape) for shape in geometry)
            raise _write_error(self._target, error, needed) from error


def _joined(parts: list[NDArray[Any]], dtype: Any, rows: int | None = None) -> NDArray[Any]:
    nothing = np.zeros(0 if rows is None else (rows, 0), dtype=dtype)
    return np.concatenate([nothing, *parts], axis=-1)


def _slice(regions: Regions, first: int, last: int) -> Regions:
    """Regions ``first`` to ``last``."""
    rings = slice(regions.polygons[first], regions.polygons[last] + 1)
    begin, end = regions.rings[rings][0], regions.rings[rings][-1]
    return Regions(
        regions.values[first:last],
        regions.pixels[first:last],
        regions.measures[:, first:last],
        regions.rows[begin:end],
        regions.columns[begin:end],
        regions.rings[rings] - begin,
        regions.polygons[first : last + 1] - regions.polygons[first],
    )


def _geometries(regions: Regions, transform: Affine) -> NDArray[np.object_]:
    """Polygons in CRS coordinates. Pixel corners are computed alike, so neighbors share them."""
    x = transform.a * regions.columns + transform.b * regions.rows + transform.c
    y = transform.d * regions.columns + transform.e * regions.rows + transform.f
    shapes = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, np.stack((x, y), axis=1), (regions.rings, regions.polygons)
    )
    if transform.determinant > 0:  # rows counted upward: a mirror image
        shapes = shapely.reverse(shapes)
    return np.asarray(shapes)


def _crs_text(crs: CRS | None) -> str:
    if crs is None:
        return _NO_CRS
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


@contextmanager
def _gdal_options() -> Iterator[None]:
    """Set ``_OPTIONS`` for a while."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in _OPTIONS}
    pyogrio.set_gdal_config_options(_OPTIONS)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _write_error(
    target: Path, error: Exception, needed: int = _SPARE_BYTES
) -> OutputError | DiskFullError:
    """What a failed write of ``needed`` bytes means; by then SQLite has given room back."""
    folder = target.parent
    if folder.is_dir() and shutil.disk_usage(folder).free < needed:
        return DiskFullError(f"{target}: the disk is full; make room and run again")
    return OutputError(f"{target}: cannot be written: {error}; choose another output folder")
