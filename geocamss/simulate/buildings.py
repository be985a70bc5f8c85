"""Buildings: rectangles and L shapes along the streets, their roofs and their shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import BUILDING, Canvas
from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Doubles, Floats, Frame
from geocamss.simulate.light import Light
from geocamss.simulate.plan import BUILT, Plan
from geocamss.simulate.spectra import Palette

__all__ = ["Building", "paint_buildings"]

Part = tuple[float, float, float, float]
"""A rectangle of a building: center u and v, half length and half depth, in meters."""


@dataclass(frozen=True)
class Building:
    """A building: rectangles in coordinates (u, v) of its own, u along its street."""

    x: float
    y: float
    """Its middle on the ground, in meters."""

    cos: float
    sin: float
    """Ground direction of u."""

    parts: tuple[Part, ...]
    height: float
    """In meters."""

    roof: str
    """gable, hip or flat."""

    cover: int
    """Palette row of the roof."""

    @property
    def reach(self) -> float:
        """Radius around the middle that holds it, in meters."""
        return max((abs(u) + a) + (abs(v) + b) for u, v, a, b in self.parts)


@dataclass(frozen=True)
class _Site:
    """The pixels around a building, and where they lie in its coordinates."""

    window: tuple[slice, slice]
    u: Doubles
    v: Doubles


def paint_buildings(
    seed: int,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    plan: Plan,
    light: Light,
    taken: Bools,
) -> int:
    """Build on the lots of homes and works, wherever nothing is in the way.

    Args:
        taken: (height, width), True = roads and water; buildings are added to it.

    Returns:
        How many were built within the frame.
    """
    dice = Dice(seed, "buildings")
    covers = {
        use: _roofs(dice, palette, climate.roofs if use == "homes" else climate.sheds)
        for use in BUILT
    }
    built: list[tuple[Building, tuple[slice, slice], Bools]] = []
    for quarter, use in enumerate(plan.quarters.use):
        if use not in BUILT or not plan.quarters.shown[quarter]:
            continue
        for attempts in _draw(dice, canvas.frame, climate, plan, quarter, covers[use]):
            for building in attempts:
                site = _site(canvas.frame, building, building.reach + 2 * canvas.frame.unit)
                if site is None or _blocked(site, building, taken, canvas.frame.unit):
                    continue
                mask = _inside(site, building.parts)
                taken[site.window] |= mask
                built.append((building, site.window, mask))
                break
    for building, _, _ in built:
        _cast(canvas, building, light)
    for building, window, mask in built:
        _roof(dice, canvas, palette, building, window, mask, light)
    return len(built)


def _roofs(dice: Dice, palette: Palette, weights: object) -> list[int]:
    assert isinstance(weights, dict)  # noqa: S101
    names = dice.picks(list(weights), 10, list(weights.values()))
    return [palette.add(name, spread=0.2) for name in names]


def _draw(
    dice: Dice, frame: Frame, climate: Climate, plan: Plan, quarter: int, covers: list[int]
) -> list[list[Building]]:
    """For each lot, the buildings to try on it, in turn."""
    quarters, unit = plan.quarters, frame.unit
    p0, p1, q0, q1 = plan.bounds(quarter)
    turned, works = bool(quarters.turned[quarter]), quarters.use[quarter] == "works"
    wide, long = (q1 - q0, p1 - p0) if turned else (p1 - p0, q1 - q0)
    rows, first = int(quarters.rows[quarter]), int(quarters.row_base[quarter])
    lots = int(plan.row_lots[first])
    depth, front = wide / rows, long / lots
    row, lot = (a.ravel() for a in np.meshgrid(np.arange(rows), np.arange(lots), indexing="ij"))
    count = rows * lots
    length = np.minimum(dice.uniforms(9, 17, count) * unit, front - 3 * unit)
    deep = np.minimum(dice.uniforms(7.5, 12, count) * unit, depth - 9 * unit)
    if works:
        length = front * dice.uniforms(0.55, 0.85, count)
        deep = (depth - 9 * unit) * dice.uniforms(0.45, 0.9, count)
    setback = 6.5 * unit + dice.uniforms(0, 5, count) * unit + deep / 2
    across = np.where(row % 2 == 0, row * depth + setback, (row + 1) * depth - setback)
    along = (lot + 0.5) * front + dice.uniforms(-0.08, 0.08, count) * front
    p, q = (p0 + along, q0 + across) if turned else (p0 + across, q0 + along)
    x, y = plan.axes.to_ground(p, q)
    east, south = plan.axes.heading(p, q)
    if turned:
        east, south = south, -east
    vacant = 0.12 if not works else 0.2
    tall = works and dice.chance(0.3)
    result = []
    for k in range(count):
        building = _shape(
            dice,
            (float(x[k]), float(y[k])),
            (float(east[k]), float(south[k])),
            (float(length[k]) / 2, float(deep[k]) / 2),
            climate.gable if not works else 0.15,
            dice.pick(covers),
            dice.uniform(10, 40) if tall else dice.uniform(5, 12) if works else dice.uniform(3, 8),
        )
        if not dice.chance(vacant) and min(length[k], deep[k]) > 4 * unit:
            result.append([building, _shrunk(building)])
    return result


def _shape(
    dice: Dice,
    at: tuple[float, float],
    direction: tuple[float, float],
    half: tuple[float, float],
    gable: float,
    cover: int,
    height: float,
) -> Building:
    a, b = half
    parts: tuple[Part, ...] = ((0.0, 0.0, a, b),)
    if dice.chance(0.45):
        side, end = dice.pick((-1, 1)), dice.pick((-1, 1))
        wing, body = dice.uniform(0.3, 0.5) * a, dice.uniform(0.5, 0.7) * b
        parts = (
            (0.0, side * (b - body), a, body),
            (end * (a - wing), 0.0, wing, b),
        )
    roof = dice.pick(("gable", "hip")) if dice.chance(gable) else "flat"
    return Building(*at, *direction, parts, height, roof, cover)


def _shrunk(building: Building) -> Building:
    parts = tuple((0.7 * u, 0.7 * v, 0.7 * a, 0.7 * b) for u, v, a, b in building.parts)
    return Building(
        building.x,
        building.y,
        building.cos,
        building.sin,
        parts,
        building.height,
        building.roof,
        building.cover,
    )


def _site(frame: Frame, building: Building, reach: float) -> _Site | None:
    rows, columns = frame.window(building.x, building.y, reach)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    x, y = frame.x[:, columns] - building.x, frame.y[rows] - building.y
    u = x * building.cos + y * building.sin
    v = y * building.cos - x * building.sin
    return _Site((rows, columns), u, v)


def _inside(site: _Site, parts: tuple[Part, ...], margin: float = 0.0) -> Bools:
    result: Bools = np.zeros(site.u.shape, dtype=np.bool_)
    for u, v, a, b in parts:
        result |= (np.abs(site.u - u) <= a + margin) & (np.abs(site.v - v) <= b + margin)
    return result


def _blocked(site: _Site, building: Building, taken: Bools, unit: float) -> bool:
    return bool((taken[site.window] & _inside(site, building.parts, 1.2 * unit)).any())


def _cast(canvas: Canvas, building: Building, light: Light) -> None:
    """Darken the ground behind a building: its footprint, swept away from the sun."""
    length = min(building.height * light.reach, 70.0) * canvas.frame.unit
    site = _site(canvas.frame, building, building.reach + length)
    if site is None:
        return
    du = -length * (light.x * building.cos + light.y * building.sin)
    dv = -length * (light.y * building.cos - light.x * building.sin)
    shadow = canvas.shadow[site.window]
    for u, v, a, b in building.parts:
        # A point is in shadow if some t of [0, 1] puts it, moved back by t, inside the rectangle.
        low_u, high_u = _slab(site.u - u, a, du)
        low_v, high_v = _slab(site.v - v, b, dv)
        low = np.maximum(np.maximum(low_u, low_v), 0)
        high = np.minimum(np.minimum(high_u, high_v), 1)
        shadow[low <= high] = 1


def _slab(offset: Doubles, half: float, step: float) -> tuple[Doubles, Doubles]:
    step = step if abs(step) > 1e-9 else 1e-9
    ends = (offset - half) / step, (offset + half) / step
    return np.minimum(*ends), np.maximum(*ends)


def _roof(
    dice: Dice,
    canvas: Canvas,
    palette: Palette,
    building: Building,
    window: tuple[slice, slice],
    mask: Bools,
    light: Light,
) -> None:
    site = _site(canvas.frame, building, building.reach + 2 * canvas.frame.unit)
    assert site is not None  # noqa: S101
    gain = np.ones(mask.shape)
    sun_u = light.x * building.cos + light.y * building.sin
    sun_v = light.y * building.cos - light.x * building.sin
    for part in building.parts:
        own = _inside(site, (part,))
        if building.roof == "flat":
            gain[own] = _flat(dice, canvas.frame, site, part, (sun_u, sun_v))[own]
        else:
            gain[own] = _pitched(site, part, (sun_u, sun_v), hip=building.roof == "hip")[own]
    canvas.classes[window][mask] = BUILDING
    canvas.cover[window][mask] = building.cover
    canvas.share[window][mask] = 0
    canvas.shadow[window][mask] = 0
    canvas.gain[window][mask] = gain[mask]


def _pitched(site: _Site, part: Part, sun: tuple[float, float], *, hip: bool) -> Doubles:
    """Brightness of the slopes: lit where they face the sun; a bright ridge between."""
    u, v = site.u - part[0], site.v - part[1]
    (a, b), (sun_u, sun_v) = part[2:], sun
    if b > a:
        u, v, a, b, sun_u, sun_v = v, u, b, a, sun_v, sun_u
    gain = 1 + 0.3 * np.where(v > 0, sun_v, -sun_v)
    if hip:
        end = np.abs(u) - (a - b) > np.abs(v)
        gain = np.where(end, 1 + 0.3 * np.where(u > 0, sun_u, -sun_u), gain)
    return gain


def _flat(dice: Dice, frame: Frame, site: _Site, part: Part, sun: tuple[float, float]) -> Doubles:
    """A parapet, shaded on the sunward side, and a few boxes on the roof."""
    u, v = site.u - part[0], site.v - part[1]
    a, b = part[2:]
    rim = np.minimum(a - np.abs(u), b - np.abs(v)) < 0.5 * frame.unit
    sunward = np.where(np.abs(u) / a > np.abs(v) / b, np.sign(u) * sun[0], np.sign(v) * sun[1])
    gain = np.where(rim, 1 - 0.25 * sunward, 1.0)
    for _ in range(min(8, int(a * b / 30) + 1)):
        bu, bv = dice.uniform(-0.7, 0.7) * a, dice.uniform(-0.7, 0.7) * b
        size = dice.uniform(0.5, 1.4) * frame.unit
        box = (np.abs(u - bu) < size) & (np.abs(v - bv) < size)
        behind = (np.abs(u - bu + sun[0] * size) < size) & (np.abs(v - bv + sun[1] * size) < size)
        gain = np.where(behind, 0.55, gain)
        gain = np.where(box, dice.uniform(0.8, 1.25), gain)
    return gain
