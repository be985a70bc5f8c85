"""Images without labels, of any sensor: all their bands, on one scale."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geocamss.errors import GeocamssWarning, InputError, ReadError, RecipeError, SceneError
from geocamss.scene.catalog import RASTERS, SceneSource, find_scenes
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import choose_grid
from geocamss.scene.resolve import find_product
from geocamss.scene.scene import Scene
from geocamss.training.pretrain.recipe import ImageSource
from geocamss.training.sources import IGNORED, LabeledImage
from geocamss.training.sources.pixels import read_pixels

__all__ = ["TONES", "load_images", "shared_statistics"]

RANGE = (0.5, 99.5)
"""Percentiles, over all bands together, that become 0 and 1."""

TONES = (-0.5, 1.5)
"""All but a few pixels are 0 to 1; no value that is learned from is beyond these."""

LOOKED_AT = 1 << 20
"""At most about so many pixels of an image are looked at to find these."""


def load_images(source: ImageSource, data: Path) -> list[LabeledImage]:
    """Read a source's images at their own resolution; no pixel has a label.

    All bands of an image are scaled alike: how bright they are against each other stays. Pixels are
    kept as they are stored, and scaled when chips are cut. What cannot be read is left out with a
    warning.

    Raises:
        RecipeError: no file is there, or none can be read.
    """
    named = [path for pattern in source.images for path in sorted(data.glob(pattern))]
    paths = list(dict.fromkeys(file for path in named for file in _below(path)))
    if not paths:
        raise RecipeError(
            f"source {source.name!r}: no file {', '.join(source.images)} in {data}; "
            "check --data and images"
        )
    try:
        scenes = find_scenes(paths)
    except InputError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from error
    found = list(_readable(scenes, source))
    if not found:
        raise RecipeError(f"source {source.name!r}: none of {len(scenes)} image(s) can be read")
    return found


def _below(path: Path) -> Iterator[Path]:
    """A file, a product, or all of these below a folder."""
    if not path.is_dir() or _is_product(path):
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.is_symlink():  # a link may lead back
            yield from _below(entry)
        elif entry.suffix.lower() in RASTERS:
            yield entry


def _is_product(folder: Path) -> bool:
    """Whether a folder is one image of several files; a damaged one is told of when it is read."""
    try:
        return find_product(folder) is not None
    except SceneError:
        return True


def _readable(scenes: tuple[SceneSource, ...], source: ImageSource) -> Iterator[LabeledImage]:
    """Those that can be read; a warning tells of each of the others."""
    for scene in scenes:
        try:
            yield _load(scene)
        except (InputError, ReadError) as error:
            warnings.warn(
                f"source {source.name!r}: an image is left out: {error}",
                GeocamssWarning,
                stacklevel=3,
            )


def _load(named: SceneSource) -> LabeledImage:
    """Read one image.

    Raises:
        InputError: it cannot be opened, or has no valid pixel.
        ReadError: its pixels cannot be read.
    """
    if named.problem:
        raise InputError(named.problem)
    scene = Scene.open(named.path)
    bands = scene.bands
    with gdal_environment(scene.path):
        grid = choose_grid(scene, 1.0, gsd="native")
        image, valid = read_pixels(scene, bands, grid, (0.0,) * len(bands))
    if not bool(valid.any()):
        raise InputError(f"{named.id}: has no valid pixel")
    low, high = np.percentile(_spread(image, valid, LOOKED_AT).numpy(), RANGE)
    factor = 1 / max(float(high - low), 1e-6)
    units = ((factor, -float(low) * factor),) * len(bands)
    labels = torch.full(grid.shape, IGNORED, dtype=torch.uint8)
    return LabeledImage(named.id, image, labels, valid, units=units)


def shared_statistics(images: list[LabeledImage]) -> tuple[float, float]:
    """Mean and deviation over all bands and valid pixels of all images.

    One pair for all channels: a pair each would give the bands away.

    Raises:
        RecipeError: no image has a valid pixel.
    """
    values = [_values(item) for item in images if bool(item.valid.any())]
    if not values:
        raise RecipeError("no image has a valid pixel")
    whole = torch.cat(values)
    return float(whole.mean()), max(float(whole.std()), 1e-6)


def _values(item: LabeledImage) -> Tensor:
    """Some of the values of an image, (N,) float32."""
    some = _spread(item.image, item.valid, 100_000 // len(item.image))[:, None]  # (C, 1, N)
    return item.scaled(some).clamp(*TONES).reshape(-1)


def _spread(image: Tensor, valid: Tensor, count: int) -> Tensor:
    """Valid pixels spread over an image, (C, N), about ``count`` of them at most."""
    places = valid.reshape(-1).nonzero()[:, 0].numpy()
    chosen = places[:: max(1, len(places) // max(count, 1))]
    return torch.from_numpy(image.flatten(1).numpy()[:, chosen])  # torch picks few types
