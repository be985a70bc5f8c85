"""Validation: what a recipe sets aside, as scenes and labels for an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from geocamss.errors import RecipeError
from geocamss.evaluation.labels import LabelFile
from geocamss.evaluation.pairs import Pair
from geocamss.modelcard import ModelCard
from geocamss.training.recipe import PairSource, Recipe, SimulatedSource

__all__ = ["validation_pairs"]


def validation_pairs(recipe: Recipe, data: Path, work: Path) -> tuple[Pair, ...]:
    """Scenes and labels of a recipe's validation sources.

    Args:
        recipe: Whose.
        data: The data folder.
        work: A folder for simulated landscapes.

    Raises:
        RecipeError: the recipe validates on nothing, or files are missing.
    """
    card = recipe.card_without_results()
    pairs: list[Pair] = []
    for source in recipe.validation:
        if isinstance(source, PairSource):
            pairs += _painted(source, data)
        else:
            pairs += _simulated(source, card, work)
    if not pairs:
        raise RecipeError("the recipe has no validation sources; give a scene and its labels")
    return tuple(pairs)


def _painted(source: PairSource, data: Path) -> Iterator[Pair]:
    meaning = {color: name for name, color in source.colors.items()}
    for folder in source.folders:
        images = sorted((data / folder).glob(source.images))
        if not images:
            raise RecipeError(
                f"source {source.name!r}: no file {source.images} in {data / folder}; "
                "check --data and folders"
            )
        for image in images:
            mask = data / folder / source.masks.format(stem=image.stem)
            yield Pair(str(image), LabelFile(str(mask), meaning))


def _simulated(source: SimulatedSource, card: ModelCard, work: Path) -> Iterator[Pair]:
    from geocamss.simulate import landscape, write

    for seed in range(*source.seeds):
        scene, truth = work / f"{seed}.tif", work / f"{seed}-truth.tif"
        painted = landscape(seed, source.size, source.size, gsd=card.gsd, bands=card.band_names)
        write(painted, scene, truth, overwrite=True)
        yield Pair(str(scene), LabelFile(str(truth)))
