"""Water: a river, a lake, a coast or a canal, and its shores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import LAND, WATER, Canvas
from geocamss.simulate.climate import Climate, Weights
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Doubles, Floats, Frame
from geocamss.simulate.noise import fractal, wave
from geocamss.simulate.plan import Plan
from geocamss.simulate.spectra import Palette
from geocamss.simulate.survey import Survey

__all__ = ["Water", "paint_water"]


@dataclass(frozen=True)
class Water:
    """What was painted."""

    wet: Bools
    """(height, width), True = water."""

    near: Bools
    """(height, width), True = water or its shore: nothing is built there."""

    bridged: bool
    """Whether main roads cross it."""


def paint_water(
    seed: int, canvas: Canvas, palette: Palette, climate: Climate, plan: Plan, survey: Survey
) -> Water:
    """Paint one body of water, with its shore and its shallows."""
    frame = canvas.frame
    dice = Dice(seed, "water")
    unit = frame.unit
    kind = dice.pick(("river", "canal", "coast", "lake"), (4, 1.2, 2, 3))
    depth = _depth(dice, kind, frame, plan, survey)
    rough = np.float32(0.2 if kind == "canal" else dice.uniform(0.8, 2.2)) * np.float32(unit)
    if kind != "canal":
        depth = depth + rough * fractal(seed, "shore", frame, 30.0, 1.0, 0.5)
    shore = (0.8 if kind == "canal" else dice.uniform(1.5, 9.0)) * unit
    wet, near = depth > 0, depth > -shore
    beach = near & ~wet
    canvas.fill(beach, LAND, palette.add(_weighted(dice, climate.shores), spread=0.15))
    canvas.gain[beach] = 1 + 0.05 * fractal(seed, "beach", frame, 6.0, 0.0, 0.7)[beach]
    _fill(seed, dice, canvas, palette, climate, depth, wet)
    return Water(wet, near, bridged=kind in ("river", "canal"))


def _depth(dice: Dice, kind: str, frame: Frame, plan: Plan, survey: Survey) -> Floats:
    """Meters inside the water's edge, negative on land."""
    width, height = frame.size
    unit, span = frame.unit, frame.span
    across, along, middle = survey.q, survey.p, plan.q_lines.at
    center = plan.axes.to_plan(np.array([width / 2]), np.array([height / 2]))
    at = float(center[1][0])
    if kind in ("river", "canal"):
        # Between two main roads, so that those along it keep dry and those across it get bridges.
        gap = int(np.argmin(np.abs((middle[1:] + middle[:-1]) / 2 - at)))
        room = float(middle[gap + 1] - middle[gap])
        half = min(max(span * dice.uniform(0.04, 0.08), 4.5), 38.0) * unit
        half = min(half, 0.3 * room)
        sway = 0.0 if kind == "canal" else max(0.0, room / 2 - half - 6 * unit)
        line = (middle[gap + 1] + middle[gap]) / 2 + _meander(dice, along, sway, unit)
        swell = 1 + 0.25 * wave(along / (140 * unit) + dice.uniform(0, 1)) * (kind == "river")
        return (half * swell - np.abs(across - line)).astype(np.float32)
    if kind == "coast":
        side = 1 if dice.chance(0.5) else -1
        reach = 0.5 * min(frame.size)
        line = at + side * (reach * dice.uniform(0.45, 0.8))
        line = line + _meander(dice, along, 0.12 * reach, unit)
        return (side * (across - line)).astype(np.float32)
    return _lake(dice, frame)


def _meander(dice: Dice, along: Doubles, sway: float, unit: float) -> Doubles:
    long, short = dice.uniform(160, 320) * unit, dice.uniform(60, 120) * unit
    return sway * (
        0.7 * wave(along / long + dice.uniform(0, 1))
        + 0.25 * wave(along / short + dice.uniform(0, 1))
    )


def _lake(dice: Dice, frame: Frame) -> Floats:
    """An oval that bulges."""
    width, height = frame.size
    x = frame.x - width * dice.uniform(0.15, 0.85)
    y = frame.y - height * dice.uniform(0.15, 0.85)
    radius = min(max(frame.span * dice.uniform(0.13, 0.22), 14.0), 130.0) * frame.unit
    stretch, slant = dice.uniform(0.65, 1.0), dice.uniform(-0.5, 0.5)
    r = np.sqrt((x + slant * y) ** 2 + (y / stretch) ** 2)
    bulge = 0.10 * wave(x / (1.7 * radius) + dice.uniform(0, 1))
    bulge = bulge + 0.10 * wave(y / (1.4 * radius) + dice.uniform(0, 1))
    depth: Floats = (radius * (1 + bulge) - r).astype(np.float32)
    return depth


def _fill(
    seed: int,
    dice: Dice,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    depth: Floats,
    wet: Bools,
) -> None:
    """Water over its bed: brighter near the shore, with ripples."""
    deep = palette.add(_weighted(dice, climate.waters), spread=0.3)
    bed = palette.blend(deep, palette.add("shallow water", spread=0.3), dice.uniform(0.2, 1.0))
    canvas.fill(wet, WATER, deep)
    canvas.other[wet] = bed
    shoal = np.float32(dice.uniform(1.5, 14.0) * canvas.frame.unit)
    shallow = np.clip(1 - depth[wet] / shoal, 0, 1)
    canvas.share[wet] = shallow * shallow
    ripple = fractal(seed, "ripple", canvas.frame, 9.0, 0.0, 0.75)[wet]
    swell = fractal(seed, "currents", canvas.frame, 90.0, 12.0, 0.5)[wet]
    canvas.gain[wet] = 1 + np.float32(dice.uniform(0.01, 0.12)) * ripple + np.float32(0.07) * swell


def _weighted(dice: Dice, weights: Weights) -> str:
    return dice.pick(list(weights), list(weights.values()))
