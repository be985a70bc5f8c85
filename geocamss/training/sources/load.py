"""The one place that knows which loader reads which kind of source."""

from __future__ import annotations

from pathlib import Path

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources.arrays import load_arrays
from geocamss.training.sources.image import IGNORED, LabeledImage
from geocamss.training.sources.pairs import load_pairs
from geocamss.training.sources.scenes import load_scenes
from geocamss.training.sources.simulated import load_simulated
from geocamss.training.sources.spec import (
    ArraySource,
    PairSource,
    ScenesSource,
    Source,
    TorchgeoSource,
)
from geocamss.training.sources.torchgeo import load_torchgeo

__all__ = ["load_source"]


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
        images = load_pairs(source, card, data)
    elif isinstance(source, ScenesSource):
        images = load_scenes(source, card, data)
    elif isinstance(source, ArraySource):
        images = load_arrays(source, card, data)
    elif isinstance(source, TorchgeoSource):
        images = load_torchgeo(source, card, data)
    else:
        images = load_simulated(source, card)
    if not any(bool((item.labels != IGNORED).any()) for item in images):
        raise RecipeError(f"source {source.name!r}: no pixel has a label")
    return images
