"""Woods and trees: crowns side by side, and crowns alone."""

from __future__ import annotations

import numpy as np

from geocamss.simulate.canvas import VEGETATION, Canvas
from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Floats
from geocamss.simulate.light import Light
from geocamss.simulate.noise import fractal
from geocamss.simulate.plan import Plan
from geocamss.simulate.spectra import Palette
from geocamss.simulate.survey import Survey

__all__ = ["paint_trees", "paint_woods"]

_COVER = {"woods": 1.3, "park": -0.9, "scrub": -1.3, "field": -2.4, "bare": -3.0}
"""How wooded a use is: woods grow where this plus noise of deviation 1 is above 0."""


def paint_woods(
    seed: int,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    plan: Plan,
    survey: Survey,
    light: Light,
    free: Bools,
) -> None:
    """Cover woods with crowns: each pixel belongs to the crown whose stem is nearest."""
    frame = canvas.frame
    dice = Dice(seed, "woods")
    bias = np.array([_COVER.get(use, -9.0) for use in plan.quarters.use], dtype=np.float32)
    density = bias[survey.quarter] + fractal(seed, "woods", frame, 70.0, 8.0, 0.55)
    pitch = dice.uniform(4.5, 8.5) * frame.unit
    kinds = dice.picks(list(climate.crowns), 6, list(climate.crowns.values()))
    covers = np.array([palette.add(kind, spread=0.25) for kind in kinds], dtype=np.uint16)
    rows, columns = np.nonzero(free & (density > -0.35))
    if not len(rows):
        return
    x = (frame.x[0, columns] / pitch).astype(np.float32)
    y = (frame.y[rows, 0] / pitch).astype(np.float32)
    near, dx, dy, stem_x, stem_y = _nearest_stems(seed, frame.size, pitch, x, y)
    stem_row = np.clip(
        (stem_y * np.float32(pitch / frame.gsd)).astype(np.intp), 0, frame.height - 1
    )
    stem_column = np.clip(
        (stem_x * np.float32(pitch / frame.gsd)).astype(np.intp), 0, frame.width - 1
    )
    grown = density[stem_row, stem_column] > 0
    grown &= near < 0.62
    rows, columns, near, dx, dy = (a[grown] for a in (rows, columns, near, dx, dy))
    tone = ((stem_x[grown] * 7.31 + stem_y[grown] * 3.17) * 64).astype(np.intp)
    canvas.classes[rows, columns] = VEGETATION
    canvas.cover[rows, columns] = covers[tone % len(covers)]
    canvas.share[rows, columns] = 0
    # A dome: bright toward the sun, dark at the foot; smaller crowns than pixels show none of it.
    relief = np.float32(min(1.0, max(0.0, pitch / frame.gsd / 3 - 0.5)))
    dome = 1.12 + 0.75 * (dx * light.x + dy * light.y) - 1.1 * near * near
    fine = fractal(seed, "leaves", frame, 3.0, 0.0, 0.8)[rows, columns]
    tint = 1 + 0.12 * ((tone % 17) / 8.0 - 1).astype(np.float32)
    canvas.gain[rows, columns] = (
        (1 + relief * (dome - 1)) * tint * (1 + np.float32(0.10) * fine)
    ).clip(0.2, 1.8)


def _nearest_stems(
    seed: int, size: tuple[float, float], pitch: float, x: Floats, y: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Distance and offset to the nearest stem, and the stem itself, in units of the pitch."""
    dice = Dice(seed, "stems")
    shape = int(size[1] / pitch) + 4, int(size[0] / pitch) + 4
    shift_x, shift_y = (
        dice.lattice(*shape) * np.float32(0.4),
        dice.lattice(*shape) * np.float32(0.4),
    )
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    best = np.full(x.shape, np.float32(9))
    found = [np.zeros_like(x) for _ in range(4)]
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            r, c = row + dr, column + dc
            stem_x = c + np.float32(0.5) + shift_x[r + 1, c + 1]
            stem_y = r + np.float32(0.5) + shift_y[r + 1, c + 1]
            off_x, off_y = x - stem_x, y - stem_y
            apart = off_x * off_x + off_y * off_y
            closer = apart < best
            best = np.where(closer, apart, best)
            for k, value in enumerate((off_x, off_y, stem_x, stem_y)):
                found[k] = np.where(closer, value, found[k])
    return np.sqrt(best), found[0], found[1], found[2], found[3]


def paint_trees(
    seed: int,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    plan: Plan,
    survey: Survey,
    light: Light,
    free: Bools,
) -> None:
    """Plant single trees with their shadows on free ground, most of them by the houses."""
    frame = canvas.frame
    dice = Dice(seed, "trees")
    width, height = frame.size
    area = width * height / frame.unit**2
    # Trees a square meter; a lot has some 400 of those.
    rate = {
        "homes": climate.trees / 300,
        "park": climate.trees / 350,
        "works": climate.trees / 1400,
    }
    rate |= {"scrub": climate.trees / 500, "field": 1 / 6000, "bare": climate.trees / 5000}
    highest = max(rate.values())
    count = int(area * highest)
    rates = np.array([rate.get(use, 0.0) for use in plan.quarters.use])
    x, y = dice.uniforms(0, width, count), dice.uniforms(0, height, count)
    radius = dice.uniforms(1.2, 4.0, count) * frame.unit
    keep = dice.uniforms(0, highest, count)
    kinds = dice.picks(list(climate.crowns), 5, list(climate.crowns.values()))
    covers = dice.picks([palette.add(kind, spread=0.3) for kind in kinds], count)
    row = np.minimum((y / frame.gsd).astype(np.intp), frame.height - 1)
    column = np.minimum((x / frame.gsd).astype(np.intp), frame.width - 1)
    chosen = (keep < rates[survey.quarter[row, column]]) & free[row, column]
    leaves = fractal(seed, "leaves", frame, 3.0, 0.0, 0.8)
    for k in np.nonzero(chosen)[0].tolist():
        _tree(canvas, light, leaves, free, (float(x[k]), float(y[k])), float(radius[k]), covers[k])


def _tree(
    canvas: Canvas,
    light: Light,
    leaves: Floats,
    free: Bools,
    at: tuple[float, float],
    radius: float,
    cover: int,
) -> None:
    frame = canvas.frame
    throw = min(1.6 * light.reach, 2.5) * radius
    window = frame.window(*at, radius * 1.3 + throw)
    x, y = frame.x[:, window[1]] - at[0], frame.y[window[0]] - at[1]
    ragged = (radius * radius) * (1 + 0.18 * leaves[window])
    shade = (x + light.x * throw) ** 2 + (y + light.y * throw) ** 2 < ragged
    shadow = canvas.shadow[window]
    shadow[shade] = 1
    crown = (x * x + y * y < ragged) & free[window]
    dome = 0.95 + 0.4 * (x * light.x + y * light.y) / radius + 0.1 * leaves[window]
    canvas.classes[window][crown] = VEGETATION
    canvas.cover[window][crown] = cover
    canvas.share[window][crown] = 0
    canvas.gain[window][crown] = dome[crown]
    shadow[crown] = 0
