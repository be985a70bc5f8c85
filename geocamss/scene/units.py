"""Units: whether a scene's real numbers are those that a model's card counts in, or physical."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geocamss.errors import GeocamssWarning
from geocamss.modelcard import ModelCard
from geocamss.scene.band import SceneBand
from geocamss.scene.scene import Scene
from geocamss.scene.source import Source
from geocamss.scene.window import Window

__all__ = ["Units", "units_of"]

Units = tuple[float, float]
"""Scale and offset: physical units per stored unit, and physical units at stored 0."""

_SAMPLES, _SIDE = 4, 64
"""So many windows down and across, of so many pixels squared, are looked at."""

_FLAT = 0.02
"""A scene that varies by less of what the training data did shows a model nothing."""

_FAR = 20.0
"""No scene in the right units lies farther from the training data, or varies more, in their
standard deviations."""


def units_of(scene: Scene, bands: Sequence[SceneBand], card: ModelCard) -> tuple[Units | None, ...]:
    """Scale and offset of each band, as the scene has them; None where the card's count.

    Files of whole numbers need a scale to be reflectance, and the card knows the usual one. Files
    of real numbers often hold reflectance itself, and say nothing of it. These are known by their
    numbers: times the card's scale they would be all the same to the model. A warning says so.

    Args:
        scene: is looked at in a few places, if any of its bands holds real numbers and declares
            no scale.
        bands: as ``scene.select(card)`` gives them.
        card: of the model that is to see them.

    Raises:
        SceneError: the scene cannot be opened any more.
        ReadError: it is damaged, or out of reach.
    """
    declared = tuple(band.declared for band in bands)
    unsaid = [
        number
        for number, band in enumerate(bands)
        if declared[number] is None and np.dtype(band.dtype).kind == "f"
    ]
    if not unsaid:
        return declared
    chosen = tuple(bands[number] for number in unsaid)
    values = _sample(scene, chosen)
    found = [_physical(plane, card, number) for plane, number in zip(values, unsaid, strict=True)]
    if not any(found) or any(verdict is False for verdict in found):
        return declared
    low, high = (end(np.concatenate(values)) for end in (np.min, np.max))
    names = ", ".join(band.name or band.label for band in chosen)
    warnings.warn(
        f"{scene.path}: {names} hold real numbers, here {low:.3g} to {high:.3g}, and declare no "
        f"scale: they are taken for physical units as they are, not for stored numbers that "
        f"{card.name or 'the model'} would scale; where that is wrong, give the file a scale "
        "(gdal_edit -scale)",
        GeocamssWarning,
        stacklevel=2,
    )
    return tuple((1.0, 0.0) if number in unsaid else units for number, units in enumerate(declared))


def _sample(scene: Scene, bands: tuple[SceneBand, ...]) -> list[NDArray[np.float64]]:
    """Valid numbers of each band, out of windows that lie evenly over the scene."""
    source = Source(scene, bands, np.dtype("float64"))
    found: list[list[NDArray[np.float64]]] = [[] for _ in bands]
    try:
        for row in _starts(source.extent.height):
            for col in _starts(source.extent.width):
                there = Window(row, col, _SIDE, _SIDE) & source.extent
                values, valid = source.read(there)
                usable = np.isfinite(values) & (True if valid is None else valid)
                for kept, plane, mask in zip(found, values, usable, strict=True):
                    kept.append(plane[mask])
    finally:
        source.close()
    return [np.concatenate(kept) for kept in found]


def _starts(length: int) -> list[int]:
    """Where the windows begin along a side."""
    last = max(length - _SIDE, 0)
    return sorted({round(last * number / (_SAMPLES - 1)) for number in range(_SAMPLES)})


def _physical(values: NDArray[np.float64], card: ModelCard, number: int) -> bool | None:
    """Whether numbers of a band are physical units; None where they do not tell."""
    if not len(values) or not (spread := float(values.std())):
        return None
    fields = ("scale", "offset", "mean", "std")
    scale, offset, mean, std = (card.per_band(name)[number] for name in fields)
    if (scale, offset) == (1.0, 0.0):
        return None
    flat = spread * abs(scale) / std < _FLAT
    near = spread / std < _FAR and abs(float(values.mean()) - mean) / std < _FAR
    return flat and near
