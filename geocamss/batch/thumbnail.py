"""A small picture of a class map, for the report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from geocamss.output.raster import quiet_gdal

__all__ = ["thumbnail"]

SIDE = 96
"""Pixels along its longer side, at most."""


def thumbnail(classes: Path) -> bytes:
    """The map, small, in its own colors, as PNG; transparent where it has no data."""
    with quiet_gdal(), rasterio.open(classes) as file:
        scale = min(1.0, SIDE / max(file.shape))
        shape = max(1, round(file.height * scale)), max(1, round(file.width * scale))
        values = file.read(1, out_shape=shape)
        colors = file.colormap(1)
        nodata = file.nodata
    picture = Image.fromarray(values.astype(np.uint8)).convert("P")  # grays keep their numbers
    picture.putpalette([part for value in range(256) for part in colors.get(value, (0, 0, 0))[:3]])
    target = io.BytesIO()
    picture.save(target, "PNG", optimize=True, transparency=int(nodata))
    return target.getvalue()
