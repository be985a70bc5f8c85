"""Validation: what a recipe sets aside, as scenes and labels for an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.errors import RecipeError
from geocamss.evaluation.labels import LabelFile
from geocamss.evaluation.pairs import Pair
from geocamss.modelcard import ModelCard
from geocamss.output.raster import quiet_gdal
from geocamss.training.recipe import Recipe
from geocamss.training.sources import IGNORED, LabeledImage, PairSource, load_source
from geocamss.training.sources.pairs import pair_files

__all__ = ["validation_pairs"]


def validation_pairs(recipe: Recipe, data: Path, work: Path) -> tuple[Pair, ...]:
    """Scenes and labels of a recipe's validation sources.

    Pictures with painted masks are taken as they lie there; all else is read as training reads it,
    and written to files.

    Args:
        recipe: Whose.
        data: The data folder.
        work: A folder for the files.

    Raises:
        RecipeError: the recipe validates on nothing, or files are missing.
    """
    card = recipe.card_without_results()
    pairs: list[Pair] = []
    for source in recipe.validation:
        if isinstance(source, PairSource):
            pairs += _painted(source, data)
        else:
            first = len(pairs)
            images = enumerate(load_source(source, card, data), first)
            pairs += [
                _written(image, card, work / f"{index}-{Path(image.name).stem}")
                for index, image in images
            ]
    if not pairs:
        raise RecipeError("the recipe has no validation sources; give a scene and its labels")
    return tuple(pairs)


def _painted(source: PairSource, data: Path) -> Iterator[Pair]:
    meaning = {color: name for name, color in source.colors.items()}
    for image, mask in pair_files(source, data):
        yield Pair(str(image), LabelFile(str(mask), meaning))


def _written(image: LabeledImage, card: ModelCard, folder: Path) -> Pair:
    """A labeled image as two GeoTIFFs."""
    folder.mkdir(parents=True)
    scene, truth = folder / "scene.tif", folder / "labels.tif"
    pixels = image.image if image.units is None else image.pixels()
    _write(scene, pixels.numpy(), image, image.valid.numpy())
    with quiet_gdal(), rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = card.band_names
    values = np.full(256, NODATA, np.uint8)
    values[: len(card.classes)] = card.classes.values
    labels = image.labels.numpy()
    _write(truth, values[labels][None], image, labels != IGNORED)
    # By name: the model that is scored may have these classes under other values, or not at all.
    return Pair(str(scene), LabelFile(str(truth), {str(c.value): c.name for c in card.classes}))


def _write(
    path: Path, pixels: NDArray[np.generic], image: LabeledImage, valid: NDArray[np.bool_]
) -> None:
    grid = image.grid
    profile = {} if grid is None else {"crs": grid.crs, "transform": grid.transform}
    count, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        quiet_gdal(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype.name,
            photometric="MINISBLACK",
            **{"transform": Affine.identity(), **profile},
        ) as dataset,
    ):
        dataset.write(pixels)
        dataset.write_mask(valid)
