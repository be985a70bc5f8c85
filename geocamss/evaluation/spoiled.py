"""Spoiled pixels: a scene seen through a corruption, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geocamss.engine import PixelSource
from geocamss.evaluation.corruptions import Corruption, Patch
from geocamss.run import Run
from geocamss.scene.window import Window

__all__ = ["SpoiledPixels", "spoiler"]

DEVIATIONS = 2.0
"""As bright as it gets: this many standard deviations of the training data above the mean."""


@dataclass(frozen=True)
class SpoiledPixels:
    """A source whose pixels are corrupted on the way.

    Values stay in the scene's data type: what is too bright for it is cut, as in a camera. What is
    valid stays valid. A window gives the same pixels as any other that holds them.
    """

    source: PixelSource
    """Where the pixels come from."""

    corruption: Corruption
    """What happens to them."""

    strength: float
    """How much of it."""

    gain: tuple[float, ...]
    """From stored values to 0 to 1, by band: x * gain + bias."""

    bias: tuple[float, ...]
    """Likewise."""

    bands: tuple[str, ...]
    """Names of the bands."""

    origin: tuple[int, int]
    """Global row and column of the grid's first pixel."""

    seed: int = 0
    """Chooses all that is random."""

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (C, h, w) and their validity (h, w); see ``PixelSource``."""
        reach = self.corruption.reach(self.strength)
        wide = Window(
            window.row - reach,
            window.col - reach,
            window.height + 2 * reach,
            window.width + 2 * reach,
        )
        stored, valid = self.source.read(wide)
        gain, bias = self._scaling
        values = np.where(valid, stored.astype(np.float32) * gain + bias, np.float32(0))
        place = wide.shifted(*self.origin)
        patch = Patch(values.astype(np.float32), valid, place, self.bands, self.seed)
        spoiled = self.corruption.apply(patch, self.strength)
        part = window.within(wide)
        result = _as_stored(((spoiled - bias) / gain)[(slice(None), *part)], stored.dtype)
        kept = stored[(slice(None), *part)]
        return np.where(valid[part], result, kept), valid[part]

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels are to be mapped, (h, w)."""
        return self.source.inside(window)

    @cached_property
    def _scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        gain = np.asarray(self.gain, np.float32)[:, None, None]
        return gain, np.asarray(self.bias, np.float32)[:, None, None]


def spoiler(
    run: Run, corruption: Corruption, strength: float, seed: int = 0
) -> Callable[[PixelSource], PixelSource]:
    """What puts a corruption between a run's scene and its model.

    Values from 0 to 1 are what 8-bit pictures hold; of other scenes, what lies within two standard
    deviations of the mean of the model's training data.
    """
    bands = run.scene.select(run.segmenter.card)
    if all(band.dtype == "uint8" for band in bands):
        gain, bias = (1 / 255,) * len(bands), (0.0,) * len(bands)
    else:
        normalizer = run.engine.normalizer
        gain = tuple(g / (2 * DEVIATIONS) for g in normalizer.gain)
        bias = tuple((b + DEVIATIONS) / (2 * DEVIATIONS) for b in normalizer.bias)
    names = run.segmenter.card.band_names
    origin = run.grid.origin

    def spoil(source: PixelSource) -> PixelSource:
        return SpoiledPixels(source, corruption, strength, gain, bias, names, origin, seed)

    return spoil


def _as_stored(values: NDArray[np.float32], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Values in the scene's data type: rounded, and brought into its range."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype.name)
    whole = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
    return whole.astype(dtype)
