"""Class maps for tests: written to disk, and made up by Hypothesis."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.errors import NotGeoreferencedWarning

from geocamss.classes import NODATA, ClassScheme

SCHEME = ClassScheme.of(["water", "Gebäude & <Hof>", 'so-called "land"', "road", "woods"])
UTM = "EPSG:32633"
NORTH_UP = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def write_map(path: Path, pixels, crs=UTM, transform=NORTH_UP, nodata=NODATA, **profile) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=pixels.dtype,
            count=1,
            height=pixels.shape[0],
            width=pixels.shape[1],
            nodata=nodata,
            crs=crs,
            transform=transform,
            **profile,
        ) as target:
            target.write(pixels, 1)
    return path


@st.composite
def class_maps(draw, longest: int = 14) -> np.ndarray:
    """Small maps of few values: full of holes, touching corners and nodata."""
    shape = (draw(st.integers(1, longest)), draw(st.integers(1, longest)))
    values = draw(st.lists(st.sampled_from([0, 1, 2, 4, NODATA]), min_size=1, max_size=3))
    return draw(arrays(np.uint8, shape, elements=st.sampled_from(values)))


def landscape(height: int, width: int, seed: int = 0, smooth: float = 2.0) -> np.ndarray:
    """Five classes in irregular patches, with a corner of nodata."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    fields = rng.standard_normal((5, height, width), dtype=np.float32)
    values = np.argmax([gaussian_filter(field, smooth) for field in fields], axis=0)
    pixels = values.astype(np.uint8)
    pixels[: height // 6, : width // 5] = NODATA
    return pixels
