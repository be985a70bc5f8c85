"""Woods: crowns side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import VEGETATION, Canvas
from geocamss.simulate.frame import Bools, Floats
from geocamss.simulate.place import Place

__all__ = ["paint_woods"]

_COVER = {"woods": 1.3, "park": -0.9, "scrub": -1.3, "field": -2.4, "bare": -3.0}
"""How wooded a use is: woods grow where this plus noise of deviation 1 is above 0."""

_FRINGE = 0.35
"""By how much noise may fall within a crown: woods end with whole crowns."""


@dataclass(frozen=True)
class _Stems:
    """For each point the nearest stem; arrays (points,), in units of the stems' distance."""

    apart: Floats
    """Distance, in crown radii: smaller crowns end sooner."""

    dx: Floats
    dy: Floats
    """From the stem to the point."""

    x: Floats
    y: Floats
    """The stem."""


def paint_woods(place: Place, canvas: Canvas, free: Bools) -> None:
    """Cover woods with crowns: each pixel belongs to the crown whose stem is nearest."""
    frame, dice = place.frame, place.dice("woods")
    bias = place.by_use(_COVER, -9.0)
    density = bias[place.survey.quarter] + place.noise("woods", 70.0, 8.0, 0.55)
    pitch = dice.uniform(4.0, 8.0) * frame.unit
    covers = np.array(canvas.palette.variants(place.climate.crowns, 6, spread=0.25), np.uint16)
    thin, round_ = np.float32(dice.uniform(0.56, 0.72)), np.float32(dice.uniform(0.5, 1.0))
    rows, columns = np.nonzero(free & (density > -_FRINGE))
    stems = _nearest_stems(place, pitch, frame.x[0, columns], frame.y[rows, 0])
    scale = np.float32(pitch / frame.gsd)
    at = np.clip((stems.y * scale).astype(np.intp), 0, frame.height - 1)
    across = np.clip((stems.x * scale).astype(np.intp), 0, frame.width - 1)
    grown = (density[at, across] > 0) & (stems.apart < thin)
    tone = ((stems.x * 7.31 + stems.y * 3.17) * 64).astype(np.intp)[grown]
    # A dome: bright toward the sun, dark at the foot. Crowns below a few pixels show none of it.
    relief = round_ * np.float32(min(1.0, max(0.0, pitch / frame.gsd / 3 - 0.5)))
    lit = stems.dx * np.float32(place.light.x) + stems.dy * np.float32(place.light.y)
    dome = (1.12 + 0.75 * lit - 1.1 * stems.apart * stems.apart)[grown]
    rows, columns = rows[grown], columns[grown]
    leaves = place.leaves[rows, columns]
    tint = 1 + np.float32(0.015) * ((tone % 17) - 8).astype(np.float32)
    gain = (1 + relief * (dome - 1)) * tint * (1 + np.float32(0.12) * leaves)
    canvas.classes[rows, columns] = VEGETATION
    canvas.cover[rows, columns] = covers[tone % len(covers)]
    canvas.share[rows, columns] = 0
    canvas.gain[rows, columns] = np.clip(gain, 0.2, 1.8)


def _nearest_stems(place: Place, pitch: float, x: Floats, y: Floats) -> _Stems:
    """Search the nine cells around each point of a grid that has one stem a cell."""
    width, height = place.frame.size
    shape = int(height / pitch) + 4, int(width / pitch) + 4
    dice = place.dice("stems")
    shift_x, shift_y = (np.float32(0.42) * dice.lattice(*shape) for _ in range(2))
    # Crowns differ in size; a large one reaches into its neighbor's cell.
    weight = 1 + np.float32(0.35) * dice.lattice(*shape)
    x, y = (x / pitch).astype(np.float32), (y / pitch).astype(np.float32)
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    best = np.full(x.shape, np.float32(99))
    owner = np.zeros(x.shape, dtype=np.intp)
    flat_x = (shift_x + (np.arange(shape[1], dtype=np.float32) - np.float32(0.5))).ravel()
    flat_y = (shift_y + (np.arange(shape[0], dtype=np.float32) - np.float32(0.5))[:, None]).ravel()
    flat_weight = weight.ravel()
    for step in range(9):
        cell = (row + step // 3) * shape[1] + column + step % 3
        off_x, off_y = x - flat_x[cell], y - flat_y[cell]
        apart = (off_x * off_x + off_y * off_y) * flat_weight[cell]
        closer = apart < best
        best = np.where(closer, apart, best)
        owner = np.where(closer, cell, owner)
    stem_x, stem_y = flat_x[owner], flat_y[owner]
    return _Stems(np.sqrt(best), x - stem_x, y - stem_y, stem_x, stem_y)
