"""Images that recipes set aside, whole or cropped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from geocamss.modelcard import ModelCard
from geocamss.training.recipe import Recipe
from geocamss.training.sources import LabeledImage, load_source

__all__ = ["cropped", "held_out"]


def held_out(recipe: Recipe, card: ModelCard, data: Path) -> list[LabeledImage]:
    """What a recipe sets aside, for a model with this card."""
    return [item for source in recipe.validation for item in load_source(source, card, data)]


def cropped(images: Iterable[LabeledImage], side: int | None) -> list[LabeledImage]:
    """The upper left of each image, so many pixels squared; all of it for None."""
    part = slice(side)
    return [item.part(part, part) for item in images]
