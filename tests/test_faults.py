"""Odd, hostile and broken rasters: each gives a right map or a clear error."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import rasterio
import torch
from rasterio.io import MemoryFile

import geocamss
from geocamss.errors import GeocamssError

SECONDS = 60
"""No raster may hold up a run for longer than this and its pixels ask for."""

PIXELS_A_SECOND = 1e6
"""Slower than any machine that the tests run on."""


class Brightness(torch.nn.Module):
    """Two classes: darker and brighter than a threshold."""

    def forward(self, chips):
        return torch.cat([-chips, chips], dim=1)


CARD = geocamss.ModelCard(
    bands=["gray"], gsd=1.0, mean=100.0, std=50.0, classes=["dark", "bright"], chip=256, overlap=32
)


def rasters(folder):
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".xml", ".txt", ".md", ".json"}
    )


def expected(path):
    """Size, CRS and mask by rasterio, for scenes whose pixels can be kept as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as file:
            plain = not file.gcps[0] and not file.rpcs and file.transform.b == file.transform.d == 0
            plain = plain and file.transform.a > 0 and (file.transform.e < 0 or not file.crs)
            mask = file.read_masks(1) != 0
            values = file.read(1)
            if values.dtype.kind in "fc":
                mask &= np.isfinite(values)
            return file.shape, crs_as_written(file), mask, plain


def crs_as_written(file):
    """What becomes of a scene's CRS when GDAL writes it into a GeoTIFF: not always the same."""
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
        with memory.open(**profile, crs=file.crs, transform=file.transform):
            pass
        with memory.open() as copy:
            return copy.crs


def problem(path, out, model):
    """What is wrong with how a raster is mapped; None when all is well."""
    start = time.monotonic()
    try:
        result = geocamss.predict(path, out, model=model, bands={"gray": 1}, gsd="native")
    except GeocamssError as error:
        named = path.stem in str(error)
        return None if named else f"the error does not name the file: {error}"
    except Exception as error:  # noqa: BLE001  (the finding of this test)
        return f"{type(error).__name__}: {error}"
    pixels = result.areas["pixels"].sum()
    if time.monotonic() - start > SECONDS + pixels / PIXELS_A_SECOND:
        return "took too long"
    return difference(path, result.classes)


def difference(path, classes):
    """How a map differs from what GDAL sees of the scene."""
    shape, crs, mask, plain = expected(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(classes) as file:
            valid = file.read(1) != 255
            if plain and (file.shape, file.crs) != (shape, crs):
                return f"{file.shape} {file.crs}, and not {shape} {crs}"
    if plain and (valid != mask).any():
        return f"{(valid & ~mask).sum()} pixels too many valid, {(mask & ~valid).sum()} too few"
    return None


@pytest.mark.slow
# What is wrong with a scene that can be mapped all the same is said in warnings.
@pytest.mark.filterwarnings("ignore::geocamss.GeocamssWarning")
def test_every_faulty_raster_gives_a_right_map_or_a_clear_error(shared_data, tmp_path):
    model = geocamss.from_module(Brightness(), CARD)
    found = {}
    paths = rasters(shared_data / "faults")
    assert len(paths) > 300
    for index, path in enumerate(paths):
        wrong = problem(path, tmp_path / str(index), model)
        if wrong is not None:
            found[str(path.relative_to(shared_data))] = wrong
    assert not found
