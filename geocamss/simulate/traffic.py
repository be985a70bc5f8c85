"""Traffic: cars on main roads and in front of houses. They change what is seen, not what it is."""

from __future__ import annotations

import numpy as np

from geocamss.simulate.buildings import Building
from geocamss.simulate.canvas import BUILDING, WATER, Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools
from geocamss.simulate.place import Place
from geocamss.simulate.plan import Lines
from geocamss.simulate.site import Part, Pose, find_site

__all__ = ["paint_traffic"]

_CAR: Part = (0.0, 0.0, 2.2, 0.95)
_GLASS: Part = (-0.2, 0.0, 1.2, 0.75)
_COARSEST = 1.5
"""GSD above which cars cannot be seen, in meters."""


def paint_traffic(place: Place, canvas: Canvas, road: Bools, buildings: list[Building]) -> None:
    """Put cars on roads and beside buildings."""
    dice = place.dice("traffic")
    paints = canvas.palette.variants(
        {"white roof": 5, "metal": 4, "slate": 4, "red tile": 1, "blue metal": 1, "bitumen": 2},
        10,
        spread=0.25,
    )
    rate = dice.uniform(0.0, 1.0)
    if place.frame.gsd > _COARSEST:
        return
    plan = place.plan
    for lines, other, swap in (
        (plan.p_lines, plan.q_lines, False),
        (plan.q_lines, plan.p_lines, True),
    ):
        for pose in _driving(place, dice, lines, other, rate, swap=swap):
            _park(place, canvas, pose, dice.pick(paints), road)
    ground = (canvas.classes != WATER) & (canvas.classes != BUILDING)
    for building in buildings:
        side = building.street
        pose = _offset(
            building.pose, dice.uniform(-6, 6), side - np.sign(side) * dice.uniform(1, 5)
        )
        if dice.chance(0.8 * rate) and side:
            _park(place, canvas, pose, dice.pick(paints), ground)


def _driving(
    place: Place, dice: Dice, lines: Lines, other: Lines, rate: float, *, swap: bool
) -> list[Pose]:
    """Cars in the lanes of the main roads of one axis."""
    start, end = float(other.at[0]), float(other.at[-1])
    axes = place.plan.axes
    poses = []
    for k in range(len(lines.at)):
        lanes = max(1, int((lines.half[k] - lines.median[k]) / 3.4))
        count = int((end - start) / 45 * rate * lanes)
        along = dice.uniforms(start, end, count)
        lane = np.floor(dice.uniforms(0, lanes, count)) + 0.5
        sign = np.where(dice.uniforms(0, 1, count) < 0.5, -1.0, 1.0)
        room = lines.half[k] - lines.median[k]
        beside = lines.at[k] + sign * (lines.median[k] + room * lane / lanes)
        ends = [
            axes.to_ground(*((along + step, beside) if swap else (beside, along + step)))
            for step in (0.0, 1.0)
        ]
        (x0, y0), (x1, y1) = ends
        length = np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
        columns = (x0, y0, (x1 - x0) / length, (y1 - y0) / length)
        poses += [Pose(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    return poses


def _offset(pose: Pose, u: float, v: float) -> Pose:
    x = pose.x + u * pose.cos - v * pose.sin
    y = pose.y + u * pose.sin + v * pose.cos
    return Pose(x, y, pose.cos, pose.sin)


def _park(place: Place, canvas: Canvas, pose: Pose, cover: int, where: Bools) -> None:
    """Paint a car and its shadow, if all of it fits."""
    site = find_site(place.frame, pose, 5.0)
    if site is None:
        return
    window = site.window
    car = site.inside((_CAR,))
    if not (where[window] | ~car).all():
        return
    length = 1.4 * place.light.reach
    step = pose.turn(-place.light.x * length, -place.light.y * length)
    canvas.shadow[window][site.swept((_CAR,), step) & where[window]] = 1
    canvas.shadow[window][car] = 0
    canvas.cover[window][car] = cover
    canvas.share[window][car] = 0
    canvas.gain[window][car] = 1
    canvas.gain[window][site.inside((_GLASS,))] = 0.8
