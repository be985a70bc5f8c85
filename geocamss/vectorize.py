"""Vectorize: any class raster as polygons."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from geocamss.errors import OutputError
from geocamss.output.classmap import ClassMap
from geocamss.output.legend import read_legend
from geocamss.output.polygons import write_polygons
from geocamss.output.shaping import Shaping, class_values
from geocamss.output.vectorfile import checked_target

__all__ = ["Vectorized", "vectorize"]


@dataclass(frozen=True)
class Vectorized:
    """What has been written."""

    path: Path
    """The vector file."""

    polygons: int
    """Number of polygons in it."""

    classes: tuple[str, ...]
    """Names of the classes that the map has."""


def vectorize(
    classmap: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    min_area: float = 0.0,
    smooth: bool = False,
    simplify: float = 0.0,
    square: Iterable[str | int] = (),
    confidence: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Vectorized:
    """Write the polygons of a class raster, whoever made it.

    Names and colors are those that the raster knows: in tags, a raster attribute table, category
    names or a color table. Nodata gives no polygons. Unless something else is asked for, polygons
    rasterized on the same grid are the raster again, pixel for pixel.

    Args:
        classmap: a raster whose first band holds at most 255 different whole numbers.
        out: a GeoPackage (.gpkg), GeoParquet (.parquet) or FlatGeobuf (.fgb).
        min_area: square meters on the ground; smaller regions go to their neighbors.
        smooth: give each pixel the class of most pixels around it.
        simplify: meters by which borders may move to have fewer vertices. Neighbors keep their
            border in common: there are no gaps and no overlaps.
        square: classes, by name or value, whose polygons get right angles; these may leave gaps
            and overlaps beside them.
        confidence: a raster of percent on the same pixels, uint8 with 255 where nothing is known.
        overwrite: replace a file that is there.

    Returns:
        What has been written.

    Raises:
        InputError: a number is out of its range, no class is called so, or the file's name has no
            ending of a known format.
        SceneError: the raster cannot be opened, or is no class map.
        OutputError: the file is there already, or cannot be written.
        RunError: pixels cannot be read, or the disk is full.
    """
    target = checked_target(Path(out))
    Shaping(min_area, smooth, simplify)
    if target.exists() and not overwrite:
        raise OutputError(
            f"{target} is there already; give --overwrite (overwrite=True) to replace it, or "
            "choose another name"
        )
    raster = Path(classmap)
    source, values = ClassMap.open(
        raster, None if confidence is None else Path(confidence)
    ).surveyed()
    numbers = {value: value if source.values is None else source.values[value] for value in values}
    scheme = read_legend(raster).scheme(numbers)
    chosen = class_values(square, scheme, numbers)
    shaping = Shaping(min_area, smooth, simplify, chosen)
    count = write_polygons(source, target, scheme, shaping)
    return Vectorized(target, count, scheme.names if scheme else ())
