"""Landscapes of ``geocamss.simulate`` as labeled images."""

from __future__ import annotations

import numpy as np
import torch

from geocamss.errors import InputError, RecipeError
from geocamss.modelcard import ModelCard
from geocamss.scene.bands import canonical_name
from geocamss.training.sources.image import LabeledImage, channel_table, rescaled
from geocamss.training.sources.spec import SimulatedSource

__all__ = ["load_simulated"]

REFLECTANCE = (1e-4, 0.0)
"""Scale and offset of painted reflectance; pictures have none."""


def load_simulated(source: SimulatedSource, card: ModelCard) -> list[LabeledImage]:
    """Paint the landscapes of a source; classes belong together by name.

    Raises:
        RecipeError: a band of the card cannot be painted, or its GSD is out of range.
    """
    try:
        return [_paint(source, card, seed) for seed in range(*source.seeds)]
    except InputError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from error


def _paint(source: SimulatedSource, card: ModelCard, seed: int) -> LabeledImage:
    from geocamss.simulate import SCHEME, landscape
    from geocamss.simulate.sensor import RGB

    channels = channel_table(
        {c.value: card.classes.names.index(c.name) for c in SCHEME if c.name in card.classes.names}
    )
    bands = [canonical_name(name) or name for name in card.band_names]
    picture = sorted(bands) == sorted(RGB)  # in whatever order the card has them
    painted = RGB if picture else bands
    scene = landscape(seed, source.size, source.size, gsd=card.gsd, bands=painted)
    labels = channels[torch.from_numpy(np.ascontiguousarray(scene.classes)).long()]
    pixels = torch.from_numpy(scene.image[[painted.index(name) for name in bands]])
    return LabeledImage(
        f"simulated landscape {seed}",
        pixels if picture else pixels.float(),
        labels,
        torch.from_numpy(np.ascontiguousarray(scene.valid)).bool(),
        units=None if picture else rescaled((REFLECTANCE,) * len(bands), card),
    )
