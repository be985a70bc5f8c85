"""The class scheme that a class raster carries in itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import rasterio

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import SceneError
from geocamss.output.classmap import ClassMap
from geocamss.output.legend import told_apart
from geocamss.output.raster import quiet_gdal

__all__ = ["read_scheme"]


def read_scheme(path: Path) -> ClassScheme:
    """Names from its metadata, colors from its color table, and the rest made up.

    Classes without a name are called by their value. Where the file names none at all, its pixels
    are read to see which there are.

    Raises:
        SceneError: it cannot be opened, is no class raster, or holds no class.
        ReadError: its pixels cannot be read.
    """
    source = ClassMap.open(path)
    with quiet_gdal(), rasterio.open(path) as file:
        tags = file.tags()
        colors = file.colormap(1) if _has_palette(file) else {}
    names = {
        int(found[1]): name
        for key, name in tags.items()
        if (found := re.fullmatch(r"CLASS_(\d{1,3})", key)) and name.strip()
    }
    values = sorted(value for value in names if value < NODATA) or _seen(source)
    if not values:
        raise SceneError(f"{path}: holds no class, neither by name nor in a pixel")
    spare = ClassScheme.of([str(value) for value in range(NODATA)])
    return ClassScheme.of(
        {
            "value": value,
            "name": name,
            "color": tuple(colors[value][:3]) if value in colors else spare.classes[value].color,
        }
        for value, name in told_apart(
            {value: names.get(value, f"class {value}") for value in values}
        ).items()
    )


def _has_palette(file: rasterio.DatasetReader) -> bool:
    return bool(file.colorinterp[0] == rasterio.enums.ColorInterp.palette)


def _seen(source: ClassMap) -> list[int]:
    found = np.zeros(256, dtype=bool)
    for band in source.bands():
        found[band.classes] = True
    return [int(value) for value in np.flatnonzero(found[:NODATA])]
