"""Vectorize: any class raster as polygons."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from geocamss.errors import InputError, OutputError
from geocamss.heap import give_back_freed_memory, keep_freed_memory
from geocamss.output.classmap import ClassMap
from geocamss.output.legend import read_legend
from geocamss.output.polygons import readings, write_polygons
from geocamss.output.shaping import Shaping, class_values
from geocamss.output.vectorfile import checked_target
from geocamss.progress import Progress
from geocamss.scene.gdal import gdal_path, is_remote

__all__ = ["Vectorized", "vectorize"]


@dataclass(frozen=True)
class Vectorized:
    """What has been written."""

    path: Path
    """The vector file."""

    polygons: int
    """Number of polygons in it."""

    classes: tuple[str, ...]
    """Names of the classes that have polygons in it."""


def vectorize(
    classmap: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    band: int | None = None,
    min_area: float = 0.0,
    smooth: bool = False,
    simplify: float = 0.0,
    square: Iterable[str | int] = (),
    confidence: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Vectorized:
    """Write the polygons of a class raster, whoever made it.

    Names and colors are those that the raster knows: in tags, a raster attribute table, category
    names or a color table. Nodata gives no polygons. Unless something else is asked for, polygons
    rasterized on the same grid are the raster again, pixel for pixel.

    Args:
        classmap: a raster of at most 255 different whole numbers, of any type. Without a CRS and
            a place, polygons are in pixels, rows downward: y is 0 at the top, -1 below the first.
        out: a GeoPackage (.gpkg), GeoParquet (.parquet) or FlatGeobuf (.fgb).
        band: the raster's band, from 1; by default the first that is no alpha. Others are warned
            of, and a picture of red, green and blue is refused.
        min_area: square meters on the ground; smaller regions go to their neighbors, and islands
            in nodata, which have none, are left out. Holes of nodata stay.
        smooth: give each pixel the class of most pixels around it.
        simplify: meters by which borders may move to have fewer vertices. Neighbors keep their
            border in common: there are no gaps and no overlaps. Each polygon keeps its area to the
            hundredth, so that beyond two pixels hardly more vertices go.
        square: classes, by name or value, whose polygons get right angles; these may leave gaps
            and overlaps beside them.
        confidence: a raster of percent on the same pixels, uint8 with 255 where nothing is known.
        overwrite: replace a file that is there.
        progress: called now and then with how far it has come.

    Returns:
        What has been written.

    Raises:
        InputError: a number is out of its range, no class is called so, the file's name has no
            ending of a known format, or the raster is none that lies on a disk.
        BandError: there is no such band.
        SceneError: the raster cannot be opened, or is no class map.
        OutputError: the file is there already, or cannot be written, as where its folder is not.
        RunError: pixels cannot be read, or the disk is full.
    """
    target = checked_target(Path(out))
    shaping = Shaping(min_area, smooth, simplify)
    if target.exists() and not overwrite:
        raise OutputError(
            f"{target} is there already; give --overwrite (overwrite=True) to replace it, or "
            "choose another name"
        )
    raster = _on_disk(classmap)
    source = ClassMap.open(raster, None if confidence is None else _on_disk(confidence), band)
    pixels = source.width * source.height
    steps = _Steps((1 + readings(shaping)) * pixels, progress or (lambda _: None))
    source, values = source.surveyed()
    steps.add(pixels)
    numbers = {value: value if source.values is None else source.values[value] for value in values}
    scheme = read_legend(raster, source.band).scheme(numbers)
    chosen = class_values(square, scheme, numbers)
    shaping = replace(shaping, square=chosen)
    keep_freed_memory()
    try:
        written = write_polygons(source, target, scheme, shaping, tell=steps.add)
    finally:
        give_back_freed_memory()
    names = tuple(entry.name for entry in scheme or () if numbers[entry.value] in written)
    return Vectorized(target, written.total(), names)


def _on_disk(name: str | os.PathLike[str]) -> Path:
    """The file that a name or a URL stands for.

    Raises:
        InputError: it is elsewhere.
    """
    text = os.fspath(name)
    if re.match("file://", text, re.IGNORECASE):
        text = gdal_path(text)
    path = Path(text)
    if is_remote(text) and str(path) != text:
        raise InputError(f"{text}: is read several times over; fetch it first, and give the file")
    return path


class _Steps:
    """Counts pixels, and tells of them."""

    def __init__(self, total: int, tell: Callable[[Progress], None]) -> None:
        self._total = total
        self._done = 0
        self._tell = tell

    def add(self, pixels: int) -> None:
        self._done += pixels
        self._tell(Progress("polygons", self._done, self._total))
