"""Sources: labeled images, read once and kept in memory as bytes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from torch import Tensor

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.recipe import PairSource, SimulatedSource, Source

__all__ = ["LabeledImage", "load_source", "parse_colors"]

IGNORED = 255
"""Label of pixels that count in no loss and no score."""

_NEVER = 254
"""No channel number: looked up for values that are no class."""


@dataclass(frozen=True)
class LabeledImage:
    """An image with its labels."""

    name: str
    """Where it came from, for messages."""

    image: Tensor
    """(C, H, W) uint8 or float32, as stored."""

    labels: Tensor
    """(H, W) uint8, channel numbers of the class scheme; 255 is ignored."""

    valid: Tensor
    """(H, W) bool, True = usable."""

    def __post_init__(self) -> None:
        size = tuple(self.image.shape[1:])
        if self.image.ndim != 3 or self.labels.shape != size or self.valid.shape != size:
            raise ValueError(
                f"{self.name}: image {tuple(self.image.shape)}, labels "
                f"{tuple(self.labels.shape)} and validity {tuple(self.valid.shape)} must agree"
            )


def load_source(source: Source, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a source.

    Args:
        source: The recipe's entry.
        card: Whose classes and bands are wanted.
        data: The data folder.

    Raises:
        RecipeError: a file is missing or cannot be read, or no pixel has a label.
    """
    if isinstance(source, PairSource):
        images = _load_pairs(source, card.classes, data)
    else:
        images = _simulate(source, card)
    if not any(bool((item.labels != IGNORED).any()) for item in images):
        raise RecipeError(f"source {source.name!r}: no pixel has a label")
    return images


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


def _load_pairs(source: PairSource, classes: ClassScheme, data: Path) -> list[LabeledImage]:
    images = []
    for folder in source.folders:
        found = sorted((data / folder).glob(source.images))
        if not found:
            raise RecipeError(
                f"source {source.name!r}: no file {source.images} in {data / folder}; "
                "check --data and folders"
            )
        for path in found:
            mask = data / folder / source.masks.format(stem=path.stem)
            images.append(_load_pair(path, mask, source, classes))
    return images


def _load_pair(
    path: Path, mask_path: Path, source: PairSource, classes: ClassScheme
) -> LabeledImage:
    image, mask = _read_rgb(path), _read_rgb(mask_path)
    # A few images differ from their mask by a row or a column.
    height, width = (min(a, b) for a, b in zip(image.shape[1:], mask.shape[1:], strict=True))
    labels = parse_colors(mask[:, :height, :width], source.colors, classes)
    return LabeledImage(
        str(path),
        torch.from_numpy(image[:, :height, :width].copy()),
        torch.from_numpy(labels),
        torch.ones(height, width, dtype=torch.bool),
    )


def _read_rgb(path: Path) -> np.ndarray:
    """Red, green and blue of a picture, a palette looked up; (3, H, W) uint8."""
    try:
        with warnings.catch_warnings():
            # Training pairs line up by pixel; where on the ground they lie does not matter.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                return _rgb(dataset, path)
    except RasterioError as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None


def _rgb(dataset: rasterio.DatasetReader, path: Path) -> np.ndarray:
    if dataset.count >= 3:
        pixels: np.ndarray = dataset.read([1, 2, 3])
        return pixels
    if dataset.colorinterp[0] is not ColorInterp.palette:
        raise RecipeError(f"{path}: needs three bands or a palette, has {dataset.count} band(s)")
    palette = np.zeros((256, 3), np.uint8)
    for value, color in dataset.colormap(1).items():
        palette[value] = color[:3]
    return np.moveaxis(palette[dataset.read(1)], -1, 0)


def _simulate(source: SimulatedSource, card: ModelCard) -> list[LabeledImage]:
    from geocamss.simulate import landscape

    channels = torch.full((256,), _NEVER + 1, dtype=torch.uint8)
    for channel, value in enumerate(card.classes.values):
        channels[value] = channel
    channels[NODATA] = IGNORED
    images = []
    for seed in range(*source.seeds):
        scene = landscape(seed, source.size, source.size, gsd=card.gsd, bands=card.band_names)
        labels = channels[torch.from_numpy(np.ascontiguousarray(scene.classes)).long()]
        pixels = torch.from_numpy(np.ascontiguousarray(scene.image))
        images.append(
            LabeledImage(
                f"simulated landscape {seed}",
                pixels if pixels.dtype == torch.uint8 else pixels.float(),
                labels,
                torch.from_numpy(np.ascontiguousarray(scene.valid)).bool(),
            )
        )
    return images
