"""Ground: what covers each lot before anything stands on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from geocamss.simulate.canvas import LAND, VEGETATION, Canvas
from geocamss.simulate.fabric import FABRICS
from geocamss.simulate.frame import Floats
from geocamss.simulate.noise import wave
from geocamss.simulate.place import Place

__all__ = ["paint_ground"]


@dataclass(frozen=True)
class _Cover:
    """How one lot is covered."""

    value: int
    """Class."""

    cover: int
    """Palette row."""

    other_value: int
    """Class where the other material prevails."""

    other: int
    """Palette row of the other material."""

    level: float
    """Share of the other material is level + swing * noise, clipped to 0 to 1."""

    swing: float
    grain: float = 0.05
    """Standard deviation of the brightness within meters."""

    blotch: float = 0.05
    """Standard deviation of the brightness within tens of meters."""

    stripe: float = 0.0
    """Amplitude of rows: crop rows, plough marks, sand ripples."""

    pitch: float = 1.0
    """Distance of rows, in meters."""

    sway: float = 0.0
    """How far noise bends the rows, in pitches."""

    edge: float = 0.0
    """Width of the unplanted strip around a field, in meters."""

    trodden: float = 0.0
    """How strongly tracks show."""

    fence: float = 0.0
    """How strongly walls and hedges show along the edge."""


class _Painter:
    """Draws a cover for each lot."""

    def __init__(self, place: Place, canvas: Canvas) -> None:
        self.place = place
        self.dice = place.dice("ground")
        climate, palette = place.climate, canvas.palette
        # One landscape lies on one or two soils; its lawns and crops vary more.
        self.soils = palette.variants(climate.soils, 4, spread=0.12, kinds=2)
        self.ploughed = palette.variants(climate.soils, 6, spread=0.25, kinds=2)
        self.lawns = palette.variants(climate.lawns, 6, spread=0.22)
        self.grasses = palette.variants(climate.grasses, 4, spread=0.2)
        self.crops = palette.variants(climate.crops, 8, spread=0.25)
        self.paved = palette.variants({"concrete": 2, "gravel": 3}, 5, spread=0.25)
        self.dry = palette.variants({"dry grass": 1}, 2, spread=0.15)
        self.ripples = climate.name == "desert" and self.dice.chance(0.5)

    def covers(self) -> list[_Cover]:
        """A cover for every lot, in the order of the lots."""
        plan = self.place.plan
        found: list[_Cover] = []
        for quarter, use in enumerate(plan.quarters.use):
            first = int(plan.quarters.row_base[quarter])
            rows = int(plan.quarters.rows[quarter])
            count = int(plan.row_lots[first : first + rows].sum())
            if not plan.quarters.shown[quarter]:
                found += [_Cover(LAND, 0, LAND, 0, 0.0, 0.0)] * count
            elif use in FABRICS:
                found += self._yards(count, large=FABRICS[use].large)
            elif use == "field":
                found += [self._field() for _ in range(count)]
            else:
                found += [self._open(use) for _ in range(count)]
        return found

    def _yards(self, count: int, *, large: bool) -> Iterable[_Cover]:
        dice = self.dice
        yards = {"lawn": 1.5, "earth": 2.0, "paved": 6.0} if large else self.place.climate.yards
        fence = dice.uniform(-0.3, 0.5)
        for kind in dice.picks(list(yards), count, list(yards.values())):
            soil, grain = dice.pick(self.soils), dice.uniform(0.03, 0.10)
            if kind == "lawn":
                lawn, level = dice.pick(self.lawns), dice.uniform(-0.5, 0.3)
                yield _Cover(VEGETATION, lawn, LAND, soil, level, 0.35, grain=grain, fence=fence)
            elif kind == "earth":
                grass, level = dice.pick(self.grasses), dice.uniform(-0.6, 0.25)
                yield _Cover(LAND, soil, VEGETATION, grass, level, 0.4, grain=grain, fence=fence)
            else:
                slab, level = dice.pick(self.paved), dice.uniform(-0.4, 0.2)
                yield _Cover(LAND, slab, LAND, soil, level, 0.3, grain=grain, fence=fence)

    def _field(self) -> _Cover:
        dice = self.dice
        soil, grass = dice.pick(self.ploughed), dice.pick(self.grasses)
        grain, blotch = dice.uniform(0.03, 0.08), dice.uniform(0.03, 0.10)
        edge, stripe, pitch = dice.uniform(0, 1.6), dice.uniform(0, 0.16), dice.uniform(1.5, 6.0)
        kind = dice.pick(("crop", "meadow", "ploughed"), (5, 2, 4))
        if kind == "meadow":
            level, swing = dice.uniform(-0.5, 0.2), dice.uniform(0.1, 0.3)
            dry = dice.pick(self.dry)
            return _Cover(VEGETATION, grass, LAND, dry, level, swing, grain, blotch, edge=edge)
        if kind == "crop":
            level, swing = dice.uniform(-0.7, 0.1), dice.uniform(0.05, 0.3)
            ends = VEGETATION, dice.pick(self.crops), LAND, soil
        else:
            level, swing = dice.uniform(-1.0, -0.2), dice.uniform(0.05, 0.25)
            ends = LAND, soil, VEGETATION, grass
        return _Cover(
            *ends, level, swing, grain, blotch, stripe=stripe, pitch=pitch, sway=0.15, edge=edge
        )

    def _open(self, use: str) -> _Cover:
        dice = self.dice
        soil, grass = dice.pick(self.soils), dice.pick(self.grasses)
        grain, blotch = dice.uniform(0.03, 0.09), dice.uniform(0.03, 0.12)
        trodden = max(0.0, dice.uniform(-0.1, 0.25))
        if use == "bare":
            stripe = dice.uniform(0.02, 0.08) if self.ripples else 0.0
            pitch = dice.uniform(3, 9)
            ends = LAND, soil, LAND, dice.pick(self.soils)
            return _Cover(*ends, 0.4, 0.4, grain, blotch, stripe, pitch, sway=0.8, trodden=trodden)
        if use == "scrub":
            level = dice.uniform(0.2, 0.4)
            return _Cover(
                LAND, soil, VEGETATION, grass, level, 0.25, grain, blotch, trodden=trodden
            )
        cover = dice.pick(self.lawns) if use == "park" else grass
        level = dice.uniform(-0.3, 0.15)
        return _Cover(VEGETATION, cover, LAND, soil, level, 0.3, grain, blotch, trodden=trodden)


def paint_ground(place: Place, canvas: Canvas) -> None:
    """Cover every pixel with the ground of its lot."""
    covers = _Painter(place, canvas).covers()
    table = {
        field.name: np.array([getattr(cover, field.name) for cover in covers], dtype=np.float32)
        for field in fields(_Cover)
    }
    coarse = place.noise("patches", 60.0, 4.0, 0.6)
    fine = place.grain
    lot = place.survey.lot
    share = np.clip(table["level"][lot] + table["swing"][lot] * coarse, 0, 1)
    value = np.where(share > 0.5, table["other_value"][lot], table["value"][lot])
    balk = place.survey.lot_edge < table["edge"][lot] * np.float32(place.unit) * (1 + 0.3 * fine)
    canvas.classes[:] = np.where(balk, VEGETATION, value)
    canvas.other[:] = table["other"][lot]
    canvas.cover[:] = np.where(balk, canvas.other, table["cover"][lot])
    canvas.share[:] = share
    gain = 1 + table["grain"][lot] * fine + table["blotch"][lot] * coarse
    gain += _stripes(place, table, coarse)
    gain *= 1 - table["trodden"][lot] * _tracks(place)
    gain *= 1 - table["fence"][lot] * (place.survey.lot_edge < 0.35 * place.unit)
    gain *= 1 + np.float32(0.045) * place.noise("relief", 220.0, 20.0, 0.45)
    canvas.gain[:] = gain


def _stripes(place: Place, table: dict[str, Floats], coarse: Floats) -> Floats:
    """Rows along each lot, left out where a pixel is too coarse to show them."""
    survey, lot = place.survey, place.survey.lot
    pitch = table["pitch"] * np.float32(place.unit)
    seen = np.clip(pitch / np.float32(place.frame.gsd) - 2, 0, 1)
    phase = survey.across / pitch[lot] + table["sway"][lot] * coarse
    result: Floats = (table["stripe"] * seen)[lot] * wave(phase.astype(np.float64)).astype(
        np.float32
    )
    return result


def _tracks(place: Place) -> Floats:
    """1 on tracks that wander where nobody built, 0 elsewhere."""
    field = np.abs(place.noise("tracks", 120.0, 20.0, 0.4))
    result: Floats = (field < 0.035).astype(np.float32)
    return result
