"""Small rasters, written as a test needs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from geocamss import ModelCard

UTM = "EPSG:32633"


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write (C, h, w) values; whatever rasterio does not take at opening is set afterwards."""
    later = {
        key: profile.pop(key)
        for key in ("descriptions", "colorinterp", "scales", "offsets", "gcps", "rpcs", "mask")
        if key in profile
    }
    band_tags = profile.pop("band_tags", {})
    tags = profile.pop("tags", {})
    colormap = profile.pop("colormap", None)
    count, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path,
                "w",
                **{"driver": "GTiff", "dtype": values.dtype, **profile},
                count=count,
                height=height,
                width=width,
            ) as dataset,
        ):
            dataset.write(values)
            if "mask" in later:
                dataset.write_mask(later.pop("mask"))
            for key, value in later.items():
                setattr(dataset, key, value)
            dataset.update_tags(**tags)
            for index, named in band_tags.items():
                dataset.update_tags(index, **named)
            if colormap is not None:
                dataset.write_colormap(1, colormap)
    return path


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a raster with a transform in UTM, 10 m pixels, unless told otherwise."""

    def made(values: np.ndarray, name: str = "scene.tif", **profile: Any) -> Path:
        place = {"crs": UTM, "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
        if profile.get("crs", "") is None:
            place = {"transform": Affine.identity()}
        return write(tmp_path / name, np.asarray(values), **{**place, **profile})

    return made


@pytest.fixture
def card() -> Callable[..., ModelCard]:
    """A model card that wants bands at a GSD."""

    def made(*bands: Any, gsd: float = 10.0) -> ModelCard:
        return ModelCard(bands=bands or ("red", "green", "blue"), gsd=gsd, classes=["a", "b"])

    return made
