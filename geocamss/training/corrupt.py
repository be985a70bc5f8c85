"""Corrupted chips: what the robustness sweep does to a scene, done to a share of the training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from geocamss.evaluation.corruptions import CORRUPTIONS, Corruption, Patch
from geocamss.scene.window import Window

__all__ = ["corrupt"]


def corrupt(image: Tensor, valid: Tensor, bands: Sequence[str], generator: Generator) -> Tensor:
    """Spoil a chip by one corruption, drawn evenly, at a strength within its sweep.

    Args:
        image: (C, H, W) float32, 0 to 1.
        valid: (H, W) bool, True = usable.
        bands: Names of the C bands.
        generator: Source of randomness.

    Returns:
        (C, H, W) float32, 0 to 1: as in a camera, what is too bright is cut.
    """
    fitting = [each for each in CORRUPTIONS.values() if each.levels(bands)]
    chosen = fitting[_below(len(fitting), generator)]
    height, width = valid.shape
    known = image.clamp(0, 1).masked_fill(~valid, 0)
    patch = Patch(
        known.numpy(),
        valid.numpy(),
        Window(_below(1 << 20, generator), _below(1 << 20, generator), height, width),
        tuple(bands),
        seed=_below(1 << 31, generator),
    )
    spoiled = chosen.apply(patch, _strength(chosen, bands, generator))
    return torch.from_numpy(np.clip(spoiled, 0, 1).astype(np.float32))


def _strength(chosen: Corruption, bands: Sequence[str], generator: Generator) -> float:
    """Between the weakest and the strongest of the sweep; a band, where it counts bands."""
    levels = chosen.levels(bands)
    if not chosen.strengths:
        return levels[_below(len(levels), generator)]
    share = float(torch.rand((), generator=generator))
    return min(levels) + share * (max(levels) - min(levels))


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
