"""Landscapes of ``geocamss.simulate`` as labeled images."""

from __future__ import annotations

import numpy as np
import torch

from geocamss.modelcard import ModelCard
from geocamss.training.sources.image import LabeledImage, channel_table
from geocamss.training.sources.spec import SimulatedSource

__all__ = ["load_simulated"]


def load_simulated(source: SimulatedSource, card: ModelCard) -> list[LabeledImage]:
    """Paint the landscapes of a source; classes belong together by name."""
    from geocamss.simulate import SCHEME, landscape

    channels = channel_table(
        {c.value: card.classes.names.index(c.name) for c in SCHEME if c.name in card.classes.names}
    )
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
