"""Pictures with masks painted in colors, as labeled images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geocamss.classes import ClassScheme
from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources.ground import grid_of
from geocamss.training.sources.image import IGNORED, LabeledImage, band_order
from geocamss.training.sources.spec import PairSource

__all__ = ["load_pairs", "pair_files", "parse_colors"]

COLORS = ("red", "green", "blue")
"""Bands of a picture."""


def parse_colors(mask: np.ndarray, colors: dict[str, str], classes: ClassScheme) -> np.ndarray:
    """Channel numbers of a mask painted in colors.

    Args:
        mask: (3, H, W) uint8.
        colors: ``#rrggbb`` by class name.
        classes: The scheme.

    Returns:
        (H, W) uint8; 255 where the color is none of these.
    """
    packed = mask[0].astype(np.int32) << 16 | mask[1].astype(np.int32) << 8 | mask[2]
    labels = np.full(packed.shape, IGNORED, np.uint8)
    for name, color in colors.items():
        labels[packed == int(color[1:], 16)] = classes.names.index(name)
    return labels


def load_pairs(source: PairSource, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a source's pictures, the card's bands in the card's order.

    Raises:
        RecipeError: a file is missing or cannot be read, or pictures lack a band.
    """
    order = band_order(source.name, COLORS, card)
    return [_load_pair(*files, source, card.classes, order) for files in pair_files(source, data)]


def pair_files(source: PairSource, data: Path) -> Iterator[tuple[Path, Path]]:
    """Each image of a source with its mask.

    Raises:
        RecipeError: a folder has no image.
    """
    for folder in source.folders:
        found = sorted((data / folder).glob(source.images))
        if not found:
            raise RecipeError(
                f"source {source.name!r}: no file {source.images} in {data / folder}; "
                "check --data and folders"
            )
        for path in found:
            yield path, data / folder / source.masks.replace("{stem}", path.stem)


def _load_pair(
    path: Path, mask_path: Path, source: PairSource, classes: ClassScheme, order: list[int]
) -> LabeledImage:
    with _opened(mask_path) as dataset:
        mask = _rgb(dataset, mask_path)
    with _opened(path) as dataset:
        image = _rgb(dataset, path)[order]
        # A few images differ from their mask by a row or a column.
        height, width = (min(a, b) for a, b in zip(image.shape[1:], mask.shape[1:], strict=True))
        grid = grid_of(dataset, height, width)
    labels = parse_colors(mask[:, :height, :width], source.colors, classes)
    return LabeledImage(
        str(path),
        torch.from_numpy(image[:, :height, :width].copy()),
        torch.from_numpy(labels),
        torch.ones(height, width, dtype=torch.bool),
        grid,
    )


@contextmanager
def _opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """A picture.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # Pictures and masks line up by pixel: most have no place on the ground.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                yield dataset
    except RasterioError as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None


def _rgb(dataset: rasterio.DatasetReader, path: Path) -> np.ndarray:
    """Red, green and blue of a picture, a palette looked up; (3, H, W) uint8."""
    if dataset.count >= 3:
        pixels: np.ndarray = dataset.read([1, 2, 3])
        return pixels
    if dataset.colorinterp[0] is not ColorInterp.palette:
        raise RecipeError(f"{path}: needs three bands or a palette, has {dataset.count} band(s)")
    palette = np.zeros((256, 3), np.uint8)
    for value, color in dataset.colormap(1).items():
        palette[value] = color[:3]
    return np.moveaxis(palette[dataset.read(1)], -1, 0)
