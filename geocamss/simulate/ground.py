"""Ground: what covers each lot before anything stands on it."""

from __future__ import annotations

import numpy as np

from geocamss.simulate.canvas import LAND, VEGETATION, Canvas
from geocamss.simulate.climate import Climate, Weights
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Floats, Frame
from geocamss.simulate.noise import fractal, wave
from geocamss.simulate.plan import Plan
from geocamss.simulate.spectra import Palette
from geocamss.simulate.survey import Survey

__all__ = ["paint_ground"]


class _Lots:
    """One entry a lot: how it is covered."""

    def __init__(self, count: int) -> None:
        self.value = np.zeros(count, dtype=np.uint8)
        self.other_value = np.zeros(count, dtype=np.uint8)
        self.cover = np.zeros(count, dtype=np.uint16)
        self.other = np.zeros(count, dtype=np.uint16)
        self.level = np.full(count, -9.0, dtype=np.float32)
        """Share of the other material is level + swing * noise, clipped to 0 to 1."""
        self.swing = np.zeros(count, dtype=np.float32)
        self.grain = np.full(count, 0.04, dtype=np.float32)
        """Fine texture: standard deviation of the brightness."""
        self.blotch = np.full(count, 0.05, dtype=np.float32)
        """Coarse texture, likewise."""
        self.stripe = np.zeros(count, dtype=np.float32)
        """Amplitude of rows: crop rows, plough marks."""
        self.pitch = np.ones(count, dtype=np.float32)
        """Distance of rows, in meters."""
        self.edge = np.zeros(count, dtype=np.float32)
        """Width of the unplanted strip around a field, in meters."""


class _Grounds:
    """The palette rows that lots share: a handful of variants of each kind of ground."""

    def __init__(self, dice: Dice, palette: Palette, climate: Climate) -> None:
        self._dice = dice
        # One landscape lies on one or two soils; its lawns and crops vary more.
        self.soils = self._variants(palette, climate.soils, 4, 0.12, kinds=2)
        self.lawns = self._variants(palette, climate.lawns, 6, 0.22)
        self.grasses = self._variants(palette, climate.grasses, 4, 0.2)
        self.crops = self._variants(palette, climate.crops, 8, 0.25)
        self.paved = self._variants(palette, {"concrete": 2, "gravel": 3}, 5, 0.2)
        self.dry = self._variants(palette, {"dry grass": 1}, 2, 0.15)
        self.ploughed = self._variants(palette, climate.soils, 6, 0.25, kinds=2)

    def _variants(
        self, palette: Palette, weights: Weights, count: int, spread: float, kinds: int = 99
    ) -> list[int]:
        names = self._dice.picks(list(weights), min(kinds, count), list(weights.values()))
        return [palette.add(names[k % len(names)], spread=spread) for k in range(count)]


def paint_ground(
    seed: int, canvas: Canvas, palette: Palette, climate: Climate, plan: Plan, survey: Survey
) -> None:
    """Cover every pixel with the ground of its lot."""
    frame = canvas.frame
    dice = Dice(seed, "ground")
    lots = _draw_lots(dice, _Grounds(dice, palette, climate), climate, plan)
    coarse = fractal(seed, "patches", frame, 60.0, 4.0, 0.6)
    fine = fractal(seed, "grain", frame, 8.0, 0.0, 0.8)
    lot = survey.lot
    share = np.clip(lots.level[lot] + lots.swing[lot] * coarse, 0, 1)
    gain = 1 + lots.grain[lot] * fine + lots.blotch[lot] * coarse
    gain += _stripes(frame, lots, survey)
    value = np.where(share > 0.5, lots.other_value[lot], lots.value[lot])
    balk = survey.lot_edge < lots.edge[lot] * frame.unit * (1 + 0.3 * fine)
    canvas.classes[:] = np.where(balk, VEGETATION, value)
    canvas.cover[:] = np.where(balk, lots.other[lot], lots.cover[lot])
    canvas.other[:] = lots.other[lot]
    canvas.share[:] = share
    canvas.gain[:] = gain * _slopes(seed, frame)


def _stripes(frame: Frame, lots: _Lots, survey: Survey) -> Floats:
    """Rows along each lot, left out where a pixel is too coarse to show them."""
    pitch = lots.pitch * np.float32(frame.unit)
    seen = np.clip(pitch / np.float32(frame.gsd) - 2.0, 0, 1).astype(np.float32)
    phase = (survey.across / pitch[survey.lot]).astype(np.float64)
    result: Floats = (lots.stripe * seen)[survey.lot] * wave(phase).astype(np.float32)
    return result


def _slopes(seed: int, frame: Frame) -> Floats:
    """Brightness of gently rolling ground."""
    relief = fractal(seed, "relief", frame, 220.0, 20.0, 0.45)
    return 1 + np.float32(0.045) * relief


def _draw_lots(dice: Dice, grounds: _Grounds, climate: Climate, plan: Plan) -> _Lots:
    lots = _Lots(len(plan.lot_quarter))
    quarters = plan.quarters
    for quarter in range(len(quarters.use)):
        if not quarters.shown[quarter]:
            continue
        first = int(quarters.row_base[quarter])
        own = slice(
            int(plan.row_base[first]),
            int(plan.row_base[first])
            + int(plan.row_lots[first : first + quarters.rows[quarter]].sum()),
        )
        use = quarters.use[quarter]
        if use in ("homes", "works"):
            _draw_yards(dice, grounds, climate, lots, own, works=use == "works")
        elif use == "field":
            _draw_fields(dice, grounds, lots, own)
        else:
            _draw_open(dice, grounds, lots, own, use)
    return lots


def _draw_yards(
    dice: Dice, grounds: _Grounds, climate: Climate, lots: _Lots, own: slice, *, works: bool
) -> None:
    yards = {"lawn": 1.5, "earth": 2.0, "paved": 6.0} if works else climate.yards
    kinds = dice.picks(list(yards), own.stop - own.start, list(yards.values()))
    for k, kind in zip(range(own.start, own.stop), kinds, strict=True):
        soil = dice.pick(grounds.soils)
        if kind == "lawn":
            _set(lots, k, VEGETATION, dice.pick(grounds.lawns), LAND, soil)
            lots.level[k], lots.swing[k] = dice.uniform(-0.5, 0.25), 0.35
        elif kind == "earth":
            _set(lots, k, LAND, soil, VEGETATION, dice.pick(grounds.grasses))
            lots.level[k], lots.swing[k] = dice.uniform(-0.6, 0.2), 0.4
        else:
            _set(lots, k, LAND, dice.pick(grounds.paved), LAND, soil)
            lots.level[k], lots.swing[k] = dice.uniform(-0.4, 0.2), 0.3
        lots.grain[k] = dice.uniform(0.03, 0.09)


def _draw_fields(dice: Dice, grounds: _Grounds, lots: _Lots, own: slice) -> None:
    for k in range(own.start, own.stop):
        kind = dice.pick(("crop", "meadow", "ploughed"), (5, 2, 4))
        soil, grass = dice.pick(grounds.ploughed), dice.pick(grounds.grasses)
        if kind == "crop":
            _set(lots, k, VEGETATION, dice.pick(grounds.crops), LAND, soil)
            lots.level[k], lots.swing[k] = dice.uniform(-0.7, 0.1), dice.uniform(0.05, 0.3)
        elif kind == "meadow":
            _set(lots, k, VEGETATION, grass, LAND, dice.pick(grounds.dry))
            lots.level[k], lots.swing[k] = dice.uniform(-0.5, 0.2), dice.uniform(0.1, 0.3)
        else:
            _set(lots, k, LAND, soil, VEGETATION, grass)
            lots.level[k], lots.swing[k] = dice.uniform(-1.0, -0.2), dice.uniform(0.05, 0.25)
        if kind != "meadow":
            lots.stripe[k] = dice.uniform(0.02, 0.16)
            lots.pitch[k] = dice.uniform(1.5, 6.0)
        lots.grain[k], lots.blotch[k] = dice.uniform(0.03, 0.08), dice.uniform(0.03, 0.10)
        lots.edge[k] = dice.uniform(0.6, 1.6)


def _draw_open(dice: Dice, grounds: _Grounds, lots: _Lots, own: slice, use: str) -> None:
    for k in range(own.start, own.stop):
        soil, grass = dice.pick(grounds.soils), dice.pick(grounds.grasses)
        if use == "bare":
            _set(lots, k, LAND, soil, LAND, dice.pick(grounds.soils))
            lots.level[k], lots.swing[k] = 0.4, 0.4
        elif use == "scrub":
            _set(lots, k, LAND, soil, VEGETATION, grass)
            lots.level[k], lots.swing[k] = dice.uniform(0.2, 0.4), 0.25
        else:
            cover = dice.pick(grounds.lawns) if use == "park" else grass
            _set(lots, k, VEGETATION, cover, LAND, soil)
            lots.level[k], lots.swing[k] = dice.uniform(-0.3, 0.1), 0.3
        lots.grain[k], lots.blotch[k] = dice.uniform(0.03, 0.08), dice.uniform(0.03, 0.09)


def _set(lots: _Lots, k: int, value: int, cover: int, other_value: int, other: int) -> None:
    lots.value[k], lots.cover[k] = value, cover
    lots.other_value[k], lots.other[k] = other_value, other
