"""Buildings: rectangles and L shapes along the streets, their roofs and their shadows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from geocamss.simulate.canvas import BUILDING, LAND, ROAD, VEGETATION, Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.fabric import FABRICS, Fabric
from geocamss.simulate.frame import Bools, Doubles, Ints
from geocamss.simulate.place import Place
from geocamss.simulate.site import Part, Pose, Site, find_site

__all__ = ["Building", "paint_buildings"]

_SIDEWALK = 5.5
"""From the middle of a minor street to where a lot may be built on, in meters."""

_LONGEST_SHADOW = 70.0
"""In meters at true size."""


@dataclass(frozen=True)
class Building:
    """A building, in coordinates (u, v) of its own, u along its street."""

    pose: Pose
    parts: tuple[Part, ...]
    height: float
    """In meters at true size."""

    roof: str
    """gable, hip or flat."""

    cover: int
    """Palette row of the roof."""

    gap: float
    """Least distance to anything else that stands there, in meters."""

    street: float
    """Where along v its street runs, in meters; 0 = there is none."""

    @property
    def reach(self) -> float:
        """Radius around the middle that holds it, in meters."""
        return max((abs(u) + a) + (abs(v) + b) for u, v, a, b in self.parts)

    def shrunk(self, factor: float) -> Building:
        """The same building, smaller."""
        parts = tuple((u * factor, v * factor, a * factor, b * factor) for u, v, a, b in self.parts)
        return replace(self, parts=parts)


@dataclass(frozen=True)
class _Built:
    """A building that found room, and its pixels."""

    building: Building
    site: Site
    mask: Bools


def paint_buildings(place: Place, canvas: Canvas, taken: Bools) -> list[Building]:
    """Build on the lots of built quarters, wherever nothing is in the way.

    Args:
        place: Where.
        canvas: What to paint on.
        taken: (height, width), True = nothing may be built there; buildings are added to it.

    Returns:
        The buildings that show.
    """
    dice = place.dice("buildings")
    houses = canvas.palette.variants(place.climate.roofs, 12, spread=0.22)
    sheds = canvas.palette.variants(place.climate.sheds, 8, spread=0.2)
    drives = canvas.palette.variants({"concrete": 2, "gravel": 2}, 4, spread=0.2)
    roads = ndimage.binary_dilation(canvas.classes == ROAD)
    built: list[_Built] = []
    for quarter, use in enumerate(place.plan.quarters.use):
        if use in FABRICS and place.plan.quarters.shown[quarter]:
            covers = sheds if FABRICS[use].large else houses
            for building in _draw(place, dice, quarter, FABRICS[use], covers):
                found = _find_room(place, building, taken, roads)
                if found is not None:
                    built.append(found)
    # All shadows fall before any roof is painted: roofs are lit.
    for one in built:
        _paint_drive(place, canvas, one.building, dice.pick(drives))
    for one in built:
        _cast_shadow(place, canvas, one.building)
    for one in built:
        _paint_roof(place, dice, canvas, one)
    return [one.building for one in built]


def _draw(
    place: Place, dice: Dice, quarter: int, fabric: Fabric, covers: list[int]
) -> Iterator[Building]:
    """One building a lot, but for the vacant ones."""
    plan, unit = place.plan, place.unit
    rows, first = int(plan.quarters.rows[quarter]), int(plan.quarters.row_base[quarter])
    lots = plan.row_lots[first : first + rows]
    row = np.repeat(np.arange(rows), lots)
    lot = np.concatenate([np.arange(count) for count in lots])
    wide, long = plan.extent(quarter)
    rank, outward = _ranks(row, fabric.ranks)
    depth, count = wide / rows, len(row)
    front = long / lots[row] * ((row + 0.5) / rows if plan.quarters.circus[quarter] else 1.0)
    walk = np.where(rank == 0, _SIDEWALK * unit, 0.5 * unit)
    length = front * dice.uniforms(*fabric.length, count)
    deep = (depth - walk) * dice.uniforms(*fabric.deep, count)
    setback = dice.uniforms(*fabric.setback, count) * unit
    setback = np.minimum(setback, np.maximum(depth - walk - deep, 0))
    middle = walk + setback + deep / 2
    across = np.where(outward, (row + 1) * depth - middle, row * depth + middle)
    off = dice.uniforms(-0.5, 0.5, count) * np.maximum(0, 0.8 * (front - length))
    along = (lot + 0.5 + off / front) * (long / lots[row])
    poses, sides = _poses(place, quarter, across, along)
    street = np.where(rank == 0, middle, 0) * np.where(outward, sides, -sides)
    pitched = min(1.0, fabric.pitched * place.climate.pitched)
    tallest = dice.uniform(*fabric.height)
    for k in range(count):
        parts = _shape(dice, float(length[k]) / 2, float(deep[k]) / 2, fabric.wing)
        roof = dice.pick(("gable", "hip")) if dice.chance(pitched) else "flat"
        cover, height = dice.pick(covers), tallest * dice.uniform(0.75, 1.25)
        hollow = plan.quarters.circus[quarter] and row[k] < fabric.ranks
        if dice.chance(fabric.vacant) or min(length[k], deep[k]) < 3.5 * unit or hollow:
            continue
        yield Building(poses[k], parts, height, roof, cover, fabric.gap * unit, float(street[k]))


def _ranks(row: Ints, ranks: int) -> tuple[Ints, Bools]:
    """How many rows stand between a row and its street, and whether that is farther out."""
    place = row % (2 * ranks)
    outward: Bools = place >= ranks
    return np.where(outward, 2 * ranks - 1 - place, place), outward


def _poses(
    place: Place, quarter: int, across: Doubles, along: Doubles
) -> tuple[list[Pose], Doubles]:
    """Poses with u along the rows, and the sign of v toward growing ``across``."""
    x, y = place.plan.locate(quarter, across, along)
    x_on, y_on = place.plan.locate(quarter, across, along + 1.0)
    x_out, y_out = place.plan.locate(quarter, across + 1.0, along)
    length = np.sqrt((x_on - x) ** 2 + (y_on - y) ** 2)
    cos, sin = (x_on - x) / length, (y_on - y) / length
    side = np.sign((y_out - y) * cos - (x_out - x) * sin)
    poses = [
        Pose(*values)
        for values in zip(x.tolist(), y.tolist(), cos.tolist(), sin.tolist(), strict=True)
    ]
    return poses, side


def _shape(dice: Dice, a: float, b: float, wing: float) -> tuple[Part, ...]:
    side, end = dice.pick((-1, 1)), dice.pick((-1, 1))
    arm, body = dice.uniform(0.3, 0.5) * a, dice.uniform(0.5, 0.7) * b
    if not dice.chance(wing):
        return ((0.0, 0.0, a, b),)
    return ((0.0, side * (b - body), a, body), (end * (a - arm), 0.0, arm, b))


def _find_room(place: Place, building: Building, taken: Bools, roads: Bools) -> _Built | None:
    """Try the building, then a smaller one.

    Houses of a row stand a little on what is taken, their neighbors above all, but on no road.
    """
    for attempt in (building, building.shrunk(0.75)):
        site = find_site(place.frame, attempt.pose, attempt.reach + 2 * place.unit)
        if site is None:
            return None
        mask = site.inside(attempt.parts)
        around = site.inside(attempt.parts, attempt.gap)
        if not (taken[site.window] & around | roads[site.window] & mask).any():
            taken[site.window] |= mask
            return _Built(attempt, site, mask)
    return None


def _paint_drive(place: Place, canvas: Canvas, building: Building, cover: int) -> None:
    """A paved way from the house to its street, where there is a lawn to cross."""
    if not building.street:
        return
    a, side = building.parts[0][2], 1 if building.street > 0 else -1
    half = 1.6 * place.unit
    near, far = building.parts[-1][3] * side, building.street - 2 * side * place.unit
    if (far - near) * side <= 0 or a < 2 * half:
        return
    part = (a - half - 0.5 * place.unit, (near + far) / 2, half, abs(far - near) / 2)
    site = find_site(place.frame, building.pose, abs(far) + a)
    if site is None:
        return
    window = site.window
    lawn = site.inside((part,)) & (canvas.classes[window] == VEGETATION)
    canvas.classes[window][lawn] = LAND
    canvas.cover[window][lawn] = cover
    canvas.share[window][lawn] = 0


def _cast_shadow(place: Place, canvas: Canvas, building: Building) -> None:
    """Darken the ground behind a building: its footprint, swept away from the sun."""
    light = place.light
    length = min(building.height * light.reach, _LONGEST_SHADOW) * place.unit
    site = find_site(place.frame, building.pose, building.reach + length)
    if site is not None:
        u, v = building.pose.turn(-light.x * length, -light.y * length)
        canvas.shadow[site.window][site.swept(building.parts, (u, v))] = 1


def _paint_roof(place: Place, dice: Dice, canvas: Canvas, built: _Built) -> None:
    building, site, mask = built.building, built.site, built.mask
    sun = building.pose.turn(place.light.x, place.light.y)
    gain = np.ones(mask.shape)
    for part in building.parts:
        own = site.inside((part,))
        if building.roof == "flat":
            gain[own] = _flat(dice, place.unit, site, part, sun)[own]
        else:
            gain[own] = _pitched(site, part, sun, hip=building.roof == "hip")[own]
    window = site.window
    canvas.classes[window][mask] = BUILDING
    canvas.cover[window][mask] = building.cover
    canvas.share[window][mask] = 0
    canvas.shadow[window][mask] = 0
    canvas.gain[window][mask] = gain[mask] * dice.uniform(0.92, 1.08)


def _pitched(site: Site, part: Part, sun: tuple[float, float], *, hip: bool) -> Doubles:
    """Brightness of the slopes: lit where they face the sun."""
    u, v = site.u - part[0], site.v - part[1]
    (a, b), (sun_u, sun_v) = part[2:], sun
    if b > a:
        u, v, a, b, sun_u, sun_v = v, u, b, a, sun_v, sun_u
    gain = 1 + 0.3 * np.where(v > 0, sun_v, -sun_v)
    if hip:
        end = np.abs(u) - (a - b) > np.abs(v)
        gain = np.where(end, 1 + 0.3 * np.where(u > 0, sun_u, -sun_u), gain)
    return gain


def _flat(dice: Dice, unit: float, site: Site, part: Part, sun: tuple[float, float]) -> Doubles:
    """A parapet, shaded toward the sun, and boxes on the roof with shadows of their own."""
    u, v = site.u - part[0], site.v - part[1]
    a, b = part[2:]
    rim = np.minimum(a - np.abs(u), b - np.abs(v)) < 0.5 * unit
    sunward = np.where(np.abs(u) / a > np.abs(v) / b, np.sign(u) * sun[0], np.sign(v) * sun[1])
    gain = np.where(rim, 1 - 0.25 * sunward, 1.0)
    for _ in range(min(7, int(a * b / (30 * unit * unit)) + 1)):
        size, tone = dice.uniform(0.5, 1.5) * unit, dice.uniform(0.75, 1.25)
        box = (dice.uniform(-0.7, 0.7) * a, dice.uniform(-0.7, 0.7) * b, size, size)
        behind = (box[0] - sun[0] * size + part[0], box[1] - sun[1] * size + part[1], size, size)
        gain[site.inside((behind,))] = 0.6
        gain[site.inside(((box[0] + part[0], box[1] + part[1], size, size),))] = tone
    return gain
