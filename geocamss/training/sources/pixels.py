"""Pixels of a whole scene, read once for all that look at it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from geocamss.scene.band import SceneBand
from geocamss.scene.grid import Grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window

__all__ = ["STRIP", "read_pixels"]

STRIP = 512
"""Rows that are read at once."""

KEPT = ("uint8", "int8", "uint16", "int16", "float32")
"""Types that are kept as they are: what float32 holds exactly, in no more memory."""

_in_use: WeakValueDictionary[Hashable, Tensor] = WeakValueDictionary()
"""What has been read and is still held by an image: training and validation share it."""


def read_pixels(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Grid, fill: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Read all pixels of a grid.

    The same pixels that are asked for again, while those of before are in use, are the same memory:
    they must not be written to.

    Args:
        scene: Where from.
        bands: Which of its bands.
        grid: Which pixels.
        fill: What stands for missing pixels, by band.

    Returns:
        The pixels as stored, (C, H, W), and their validity, (H, W) bool.
    """
    key = scene.fingerprint, bands, grid, tuple(fill)
    image, valid = _in_use.get((*key, "image")), _in_use.get((*key, "valid"))
    if image is None or valid is None:
        image, valid = _read(scene, bands, grid, fill)
        _in_use[*key, "image"], _in_use[*key, "valid"] = image, valid
    return image, valid


def _read(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Grid, fill: Sequence[float]
) -> tuple[Tensor, Tensor]:
    height, width = grid.shape
    valid = np.empty((height, width), np.bool_)
    with SceneReader(scene, bands, grid, fill) as reader:
        kept = reader.dtype if reader.dtype.name in KEPT else np.dtype(np.float32)
        image = np.empty((len(bands), height, width), kept)
        for row in range(0, height, STRIP):
            window = Window(row, 0, min(STRIP, height - row), width)
            some, usable = reader.read(window)
            image[:, row : row + STRIP] = some
            valid[row : row + STRIP] = usable & grid.inside(window)
    return torch.from_numpy(image), torch.from_numpy(valid)
