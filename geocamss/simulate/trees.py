"""Trees that stand alone: in yards, in parks, and along main roads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import BUILDING, ROAD, VEGETATION, WATER, Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.fabric import FABRICS
from geocamss.simulate.frame import Bools, Doubles
from geocamss.simulate.place import Place
from geocamss.simulate.plan import Lines

__all__ = ["paint_trees"]

_WILD = {"park": 1 / 350, "scrub": 1 / 450, "field": 1 / 6000, "bare": 1 / 5000}
"""Trees a square meter, where the climate has one a house lot."""

_SUBURB = 1 / 300
"""Likewise, in a suburb."""


@dataclass(frozen=True)
class _Trees:
    """Arrays (trees,), in meters."""

    x: Doubles
    y: Doubles
    radius: Doubles


def paint_trees(place: Place, canvas: Canvas) -> None:
    """Plant trees with their shadows on free ground."""
    dice = place.dice("trees")
    free = (canvas.classes != WATER) & (canvas.classes != BUILDING) & (canvas.classes != ROAD)
    covers = canvas.palette.variants(place.climate.crowns, 6, spread=0.3)
    gardener = _Gardener(place, canvas, free)
    for trees in (_scattered(place, dice), *_avenues(place, dice)):
        row, column = place.frame.pixels(trees.x, trees.y)
        colors = dice.picks(covers, len(trees.x))
        for k in np.nonzero(free[row, column])[0].tolist():
            at = float(trees.x[k]), float(trees.y[k])
            gardener.plant(at, float(trees.radius[k]), colors[k])


@dataclass(frozen=True)
class _Gardener:
    """Paints one tree after the other."""

    place: Place
    canvas: Canvas
    free: Bools
    """(height, width), True = a crown may show there."""

    def plant(self, at: tuple[float, float], radius: float, cover: int) -> None:
        """Paint a crown, and the shadow that it throws on whatever stands behind it."""
        frame, light, canvas = self.place.frame, self.place.light, self.canvas
        throw = min(1.6 * light.reach, 2.5) * radius
        window = frame.window(*at, radius * 1.3 + throw)
        x, y = frame.x[:, window[1]] - at[0], frame.y[window[0]] - at[1]
        leaves = self.place.leaves[window]
        ragged = (radius * radius) * (1 + 0.2 * leaves)
        shade = (x + light.x * throw) ** 2 + (y + light.y * throw) ** 2 < ragged
        crown = (x * x + y * y < ragged) & self.free[window]
        dome = 0.95 + 0.4 * (x * light.x + y * light.y) / radius + 0.1 * leaves
        canvas.classes[window][crown] = VEGETATION
        canvas.cover[window][crown] = cover
        canvas.share[window][crown] = 0
        canvas.gain[window][crown] = dome[crown]
        canvas.shadow[window][shade] = 1
        canvas.shadow[window][crown] = 0


def _within(place: Place, trees: _Trees) -> _Trees:
    width, height = place.frame.size
    inside = (trees.x >= 0) & (trees.y >= 0) & (trees.x < width) & (trees.y < height)
    return _Trees(trees.x[inside], trees.y[inside], trees.radius[inside])


def _scattered(place: Place, dice: Dice) -> _Trees:
    """By chance, as many as the use of the quarter asks for."""
    frame = place.frame
    rates = {name: _SUBURB * fabric.trees for name, fabric in FABRICS.items()} | _WILD
    density = place.by_use(rates, 0.0) * place.climate.trees / frame.unit**2
    highest = float(density.max())
    width, height = frame.size
    count = int(width * height * highest)
    x, y = dice.uniforms(0, width, count), dice.uniforms(0, height, count)
    trees = _Trees(x, y, dice.uniforms(1.0, 4.0, count) * frame.unit)
    level = dice.uniforms(0, highest, count)
    row, column = frame.pixels(x, y)
    keep = level < density[place.survey.quarter[row, column]]
    return _Trees(trees.x[keep], trees.y[keep], trees.radius[keep])


def _avenues(place: Place, dice: Dice) -> list[_Trees]:
    """In rows on both sides of some main roads."""
    unit, plan = place.unit, place.plan
    spacing, radius = dice.uniform(7, 14) * unit, dice.uniform(1.2, 2.8) * unit
    chance = dice.pick((0.0, 0.3, 0.8))
    found = []
    for lines, other, swap in (
        (plan.p_lines, plan.q_lines, False),
        (plan.q_lines, plan.p_lines, True),
    ):
        for k in range(len(lines.at)):
            planted = dice.chance(chance)
            for side in (-1, 1):
                along = _steps(dice, other, spacing)
                beside = np.full(
                    len(along), lines.at[k] + side * (lines.half[k] + 1.2 * unit + radius)
                )
                if planted:
                    x, y = plan.axes.to_ground(*((along, beside) if swap else (beside, along)))
                    sizes = radius * dice.uniforms(0.75, 1.2, len(along))
                    found.append(_within(place, _Trees(x, y, sizes)))
    return found


def _steps(dice: Dice, other: Lines, spacing: float) -> Doubles:
    start, end = float(other.at[0]), float(other.at[-1])
    steps = np.arange(int((end - start) / spacing), dtype=np.float64)
    return start + spacing * (steps + dice.uniform(0, 1))
