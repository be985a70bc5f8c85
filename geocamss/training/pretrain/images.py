"""Images without labels, of any sensor: all their bands, on one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.errors import InputError, RecipeError
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from geocamss.training.pretrain.recipe import ImageSource
from geocamss.training.sources import IGNORED, LabeledImage

__all__ = ["load_images"]

RANGE = (0.5, 99.5)
"""Percentiles, over all bands together, that become 0 and 1."""


def load_images(source: ImageSource, data: Path) -> list[LabeledImage]:
    """Read a source's images at their own resolution; no pixel has a label.

    All bands of an image are scaled alike: how bright they are against each other stays.

    Raises:
        RecipeError: no file is there, or one cannot be read.
    """
    paths = [path for pattern in source.images for path in sorted(data.glob(pattern))]
    if not paths:
        raise RecipeError(
            f"source {source.name!r}: no file {', '.join(source.images)} in {data}; "
            "check --data and images"
        )
    try:
        return [_load(path) for path in paths]
    except InputError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from error


def _load(path: Path) -> LabeledImage:
    scene = Scene.open(path)
    bands = scene.bands
    with gdal_environment(scene.path):
        grid = choose_grid(scene, 1.0, gsd="native")
        with SceneReader(scene, bands, grid, (0.0,) * len(bands)) as reader:
            values, valid = reader.read(Window(0, 0, *grid.shape))
    pixels = values.astype(np.float32)
    image = torch.from_numpy(_scaled(pixels, valid))
    labels = torch.full(grid.shape, IGNORED, dtype=torch.uint8)
    return LabeledImage(str(path), image, labels, torch.from_numpy(valid.copy()))


def _scaled(pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(C, H, W) with the percentiles at 0 and 1, and 0 where not valid."""
    if not valid.any():
        return np.zeros_like(pixels)
    low, high = np.percentile(pixels[:, valid], RANGE)
    scaled = (pixels - low) / max(high - low, 1e-6)
    return np.where(valid, np.clip(scaled, -0.5, 1.5), 0).astype(np.float32)


def shared_statistics(images: list[LabeledImage]) -> tuple[float, float]:
    """Mean and deviation over all bands and valid pixels of all images.

    One pair for all channels: a pair each would give the bands away.
    """
    values = [_values(item) for item in images if bool(item.valid.any())]
    if not values:
        raise RecipeError("no image has a valid pixel")
    whole = torch.cat(values)
    return float(whole.mean()), max(float(whole.std()), 1e-6)


def _values(item: LabeledImage) -> Tensor:
    pixels = item.image[:, item.valid].float().reshape(-1)
    return pixels[:: max(1, len(pixels) // 100_000)]
