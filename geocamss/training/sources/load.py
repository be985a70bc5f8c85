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
    Part,
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
        raise RecipeError(f"source {source.name!r}: {_nothing(getattr(source, 'part', None))}")
    return images


def _nothing(part: Part | None) -> str:
    """Why there is nothing to learn from, or to score on."""
    if part is None:
        return "no pixel has a label"
    where = "held out" if part.take == "held-out" else "left for training"
    return (
        f"no labeled pixel lies in the blocks that are {where} (part: block {part.block}, every "
        f"{part.every}, first {part.first}); smaller blocks, or another first, may hold some"
    )
