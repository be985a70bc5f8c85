"""Water: a river, a canal, a coast or a lake, and its shores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import LAND, VEGETATION, WATER, Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Doubles, Floats
from geocamss.simulate.noise import wave
from geocamss.simulate.place import Place

__all__ = ["Water", "paint_water"]

_ROOM_FOR_TWO = 300.0
"""A landscape that spans more, in meters, may have a second body of water."""


@dataclass(frozen=True)
class Water:
    """What was painted."""

    wet: Bools
    """(height, width), True = water."""

    near: Bools
    """(height, width), True = water or its shore: nothing is built there."""

    crossed: Bools
    """(height, width), True = water that main roads cross on bridges."""


def paint_water(place: Place, canvas: Canvas) -> Water:
    """Paint one or two bodies of water, with their shores and shallows."""
    dice = place.dice("water")
    kind = dice.pick(("river", "canal", "coast", "lake"), (4, 1.2, 2, 3))
    liquid = canvas.palette.any_of(place.climate.waters, spread=0.3)
    first = _Body(place, dice, kind, "first", liquid).paint(canvas, ())
    if place.frame.span < _ROOM_FOR_TWO or dice.chance(0.4):
        return first
    second = _Body(place, dice, "lake", "second", liquid).paint(canvas, (first,))
    return Water(first.wet | second.wet, first.near | second.near, first.crossed)


@dataclass(frozen=True)
class _Body:
    """One body of water."""

    place: Place
    dice: Dice
    kind: str
    name: str

    liquid: int
    """Palette row of deep water."""

    def paint(self, canvas: Canvas, others: tuple[Water, ...]) -> Water:
        """Paint it, unless it would run into another."""
        dice, unit = self.dice, self.place.unit
        canal = self.kind == "canal"
        depth = self._depth()
        if not canal:
            rough = np.float32(dice.uniform(0.8, 2.2) * unit)
            depth = depth + rough * self.place.noise(f"shore {self.name}", 30.0, 1.0, 0.5)
            if self.kind == "coast":
                bays = np.float32(dice.uniform(2, 12) * unit)
                depth = depth + bays * self.place.noise("bays", 180.0, 30.0, 0.5)
        shore = (0.8 if canal else dice.uniform(1.5, 9.0)) * unit
        wet, near = depth > 0, depth > -shore
        if any((near & other.near).any() for other in others):
            return Water(*(np.zeros_like(wet) for _ in range(3)))
        self._shore(canvas, near & ~wet)
        self._fill(canvas, depth, wet)
        bridged = self.kind in ("river", "canal")
        return Water(wet, near, wet if bridged else np.zeros_like(wet))

    def _shore(self, canvas: Canvas, beach: Bools) -> None:
        climate, palette = self.place.climate, canvas.palette
        bare = palette.any_of(climate.shores, spread=0.15)
        reeds = palette.any_of(climate.grasses, spread=0.25)
        green = self.dice.chance(climate.reeds) and self.kind != "canal"
        canvas.fill(beach, VEGETATION if green else LAND, reeds if green else bare)
        canvas.gain[beach] = 1 + np.float32(0.05) * self.place.grain[beach]

    def _fill(self, canvas: Canvas, depth: Floats, wet: Bools) -> None:
        """Water over its bed: brighter near the shore, with ripples."""
        dice, palette = self.dice, canvas.palette
        shallow = palette.any_of({"shallow water": 1, "turbid water": 1}, spread=0.3)
        canvas.fill(wet, WATER, self.liquid)
        canvas.other[wet] = palette.blend(self.liquid, shallow, dice.uniform(0.1, 1.0))
        shoal = np.float32(dice.uniform(1.5, 14.0) * self.place.unit)
        near_shore = np.clip(1 - depth[wet] / shoal, 0, 1)
        canvas.share[wet] = near_shore * near_shore
        ripple = np.float32(dice.uniform(0.01, 0.14))
        swell = np.float32(dice.uniform(0.02, 0.12))
        canvas.gain[wet] = (
            1
            + ripple * self.place.noise("ripple", 9.0, 0.0, 0.75)[wet]
            + swell * self.place.noise("currents", 90.0, 12.0, 0.5)[wet]
        )

    def _depth(self) -> Floats:
        """Meters inside the water's edge, negative on land."""
        if self.kind == "lake":
            return self._lake()
        frame, plan = self.place.frame, self.place.plan
        width, height = frame.size
        center = plan.axes.to_plan(np.array([width / 2]), np.array([height / 2]))
        at = float(center[1][0])
        return self._coast(at) if self.kind == "coast" else self._river(at)

    def _river(self, at: float) -> Floats:
        """Between two main roads: those along it keep dry, those across it get bridges."""
        dice, unit, span = self.dice, self.place.unit, self.place.frame.span
        lines, survey = self.place.plan.q_lines.at, self.place.survey
        gap = int(np.argmin(np.abs((lines[1:] + lines[:-1]) / 2 - at)))
        room = float(lines[gap + 1] - lines[gap])
        half = min(max(span * dice.uniform(0.04, 0.08), 4.5), 38.0) * unit
        half = min(half, 0.3 * room)
        canal = self.kind == "canal"
        sway = 0.0 if canal else min(max(0.0, room / 2 - half - 6 * unit), 30.0 * unit)
        bends, slope = self._meander(survey.p, sway)
        off = np.abs(survey.q - (lines[gap + 1] + lines[gap]) / 2 - bends)
        swell = 0.0 if canal else 0.25
        widths = half * (1 + swell * wave(survey.p / (140 * unit) + dice.uniform(0, 1)))
        # Across a slanted reach the distance to its middle is shorter than along q.
        depth: Floats = (widths - off / np.sqrt(1 + slope * slope)).astype(np.float32)
        return depth

    def _coast(self, at: float) -> Floats:
        """Everything beyond a bent line toward one side."""
        dice, survey = self.dice, self.place.survey
        side = 1 if dice.chance(0.5) else -1
        reach = 0.5 * min(self.place.frame.size)
        line = at + side * reach * dice.uniform(0.4, 0.8)
        bends, _ = self._meander(survey.p, min(0.1 * reach, 15.0 * self.place.unit))
        depth: Floats = (side * (survey.q - line - bends)).astype(np.float32)
        return depth

    def _meander(self, along: Doubles, sway: float) -> tuple[Doubles, Doubles]:
        """How far the middle swings aside, and how steeply."""
        dice, unit = self.dice, self.place.unit
        waves = [
            (0.8 * sway, dice.uniform(170, 340) * unit, dice.uniform(0, 1)),
            (0.2 * sway, dice.uniform(70, 140) * unit, dice.uniform(0, 1)),
        ]
        here, ahead = np.zeros_like(along), np.zeros_like(along)
        for height, length, phase in waves:
            here += height * wave(along / length + phase)
            ahead += height * wave((along + unit) / length + phase)
        return here, (ahead - here) / unit

    def _lake(self) -> Floats:
        """An oval that bulges."""
        dice, frame = self.dice, self.place.frame
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
