"""Roads: main roads with their crossings, and minor streets that hang on to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from geocamss.simulate.canvas import LAND, ROAD, VEGETATION, WATER, Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Doubles, Floats, Ints
from geocamss.simulate.place import Place
from geocamss.simulate.plan import Lines, Plan
from geocamss.simulate.survey import Survey
from geocamss.simulate.water import Water

__all__ = ["Roads", "paint_roads"]

_FAR = np.float32(-99)
"""Stands for "not near a road", in meters inside the curb."""


@dataclass(frozen=True)
class Roads:
    """What was painted."""

    surface: Bools
    """(height, width), True = road."""

    taken: Bools
    """(height, width), True = road, sidewalk or verge: nothing is built there."""


@dataclass(frozen=True)
class _Main:
    """The nearest main road of one axis, pixel by pixel."""

    line: Ints
    """Its number."""

    distance: Floats
    """Meters from its middle."""

    inside: Floats
    """Meters inside the curb; negative beyond it, and where the line is not built."""

    median: Bools
    """True = between the carriageways."""

    half: Floats
    """Half its width, in meters."""


@dataclass(frozen=True)
class _Network:
    """Where the roads run."""

    p_main: _Main
    q_main: _Main

    reach: Floats
    """Meters inside the nearest curb, negative beyond it."""

    road: Bools
    minor: Bools
    """Road, but no main one."""

    median: Bools
    """Islands and strips between carriageways."""


def paint_roads(place: Place, canvas: Canvas, water: Water) -> Roads:
    """Paint the roads, and what lies beside them."""
    dice = place.dice("roads")
    network = _lay(place, water)
    spread = max(1, round(3 * place.unit / place.frame.gsd))
    near = ndimage.binary_dilation(network.road, iterations=spread)
    beside = near & (network.reach > -dice.uniform(1.2, 2.6) * place.unit) & ~network.road
    _paint_edges(place, dice, canvas, network, beside & (canvas.classes != WATER))
    _paint_surface(place, dice, canvas, network)
    _paint_marks(place, dice, canvas, network)
    # Beyond the end of a road nothing is near a curb, but houses keep their distance all the same.
    touching = ndimage.binary_dilation(network.road, iterations=max(1, spread // 2))
    taken = (near & (network.reach > -2.5 * place.unit)) | touching | network.median
    return Roads(network.road, taken)


def _lay(place: Place, water: Water) -> _Network:
    plan, survey = place.plan, place.survey
    p_main = _nearest(plan.p_lines, survey.p, survey.i, survey.j)
    q_main = _nearest(plan.q_lines, survey.q, survey.j, survey.i)
    inside = np.maximum(p_main.inside, q_main.inside)
    median = (p_main.median & (q_main.inside < 0)) | (q_main.median & (p_main.inside < 0))
    island, curb = plan.roundabout
    if curb:
        apart = np.sqrt(p_main.distance**2 + q_main.distance**2)
        meets = _crossings(plan)[p_main.line, q_main.line] & (apart < curb)
        inside = np.where(meets, np.maximum(inside, np.float32(curb) - apart), inside)
        median |= meets & (apart < island)
    inside = np.where(water.wet & ~water.crossed, _FAR, inside)
    streets = np.where(water.near, _FAR, _streets(plan, survey))
    road = _connected(((inside > 0) & ~median) | ((streets > 0) & (inside <= 0)))
    return _Network(
        p_main=p_main,
        q_main=q_main,
        reach=np.maximum(inside, streets),
        road=road,
        minor=road & (inside <= 0),
        median=median & (inside > 0) & ~water.wet,
    )


def _nearest(lines: Lines, at: Doubles, own: Ints, other: Ints) -> _Main:
    behind, ahead = at - lines.at[own], lines.at[own + 1] - at
    line = own + (ahead < behind)
    distance = np.minimum(behind, ahead).astype(np.float32)
    built = lines.present[line, other]
    half = lines.half.astype(np.float32)[line]
    inside = np.where(built, half - distance, _FAR)
    return _Main(line, distance, inside, built & (distance < lines.median[line]), half)


def _crossings(plan: Plan) -> Bools:
    """(p lines, q lines), True = both are built on both sides of where they meet."""
    p, q = plan.p_lines.present, plan.q_lines.present
    result: Bools = np.zeros((len(p), len(q)), dtype=np.bool_)
    result[1:-1, 1:-1] = p[1:-1, 1:] & p[1:-1, :-1] & (q[1:-1, 1:] & q[1:-1, :-1]).T
    return result


def _streets(plan: Plan, survey: Survey) -> Floats:
    """Meters inside the curb of the nearest minor street."""
    quarters, quarter = plan.quarters, survey.quarter
    half = quarters.half.astype(np.float32)[quarter]
    parts = (quarters.streets + 1).astype(np.float32)[quarter]
    place = survey.across * parts / survey.width_across
    nearest = np.floor(place + np.float32(0.5))
    inner = (nearest > 0) & (nearest < parts)
    best = np.where(inner, half - np.abs(place - nearest) * survey.width_across / parts, _FAR)
    spokes = (quarters.links + 1).astype(np.float32)[quarter]
    # Rings need links from the innermost one outward; straight rows, from edge to edge.
    hollow = quarters.circus[quarter] & (place < 1)
    turn = survey.along * spokes / survey.width_along
    nearest = np.floor(turn + np.float32(0.5))
    inner = (nearest > 0) & (nearest < spokes) & ~hollow
    off = np.abs(turn - nearest) * survey.width_along / spokes * survey.stretch
    result: Floats = np.maximum(best, np.where(inner, half - off, _FAR))
    return result


def _connected(road: Bools) -> Bools:
    """The largest connected part of the network; stray pieces are not built."""
    labels, count = ndimage.label(road)
    if count < 2:
        return road
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    result: Bools = labels == int(np.argmax(sizes))
    return result


def _paint_edges(
    place: Place, dice: Dice, canvas: Canvas, network: _Network, beside: Bools
) -> None:
    """Sidewalks in town, verges outside, and what grows on islands."""
    palette, town = canvas.palette, place.town
    walk = palette.add(dice.pick(("concrete", "gravel")), spread=0.2)
    grass = palette.any_of(place.climate.grasses, spread=0.2)
    gravel = palette.any_of(place.climate.soils, spread=0.15)
    green_verge = dice.chance(0.3 if place.climate.name == "desert" else 0.8)
    green_island = dice.chance(0.6)
    canvas.fill(beside & town, LAND, walk)
    _fill_either(canvas, beside & ~town, grass, gravel, green=green_verge)
    _fill_either(canvas, network.median, grass, walk, green=green_island)
    where = beside | network.median
    canvas.gain[where] = 1 + np.float32(0.05) * place.grain[where]


def _fill_either(canvas: Canvas, where: Bools, grass: int, bare: int, *, green: bool) -> None:
    canvas.fill(where, VEGETATION if green else LAND, grass if green else bare)


def _paint_surface(place: Place, dice: Dice, canvas: Canvas, network: _Network) -> None:
    palette = canvas.palette
    fresh = palette.add(dice.pick(("asphalt", "old asphalt")), spread=0.25)
    worn = palette.add(dice.pick(("asphalt", "old asphalt"), (1, 2)), spread=0.25)
    if dice.chance(place.climate.earthen):
        # Trodden earth is brighter than the lots beside it.
        soil = palette.any_of(place.climate.soils, spread=0.1)
        worn = palette.blend(soil, palette.add("concrete", spread=0.1), dice.uniform(0.2, 0.5))
    canvas.fill(network.road, ROAD, fresh)
    canvas.cover[network.minor] = worn
    wear = place.noise("wear", 25.0, 0.0, 0.7)
    canvas.gain[network.road] = 1 + np.float32(dice.uniform(0.02, 0.08)) * wear[network.road]


def _paint_marks(place: Place, dice: Dice, canvas: Canvas, network: _Network) -> None:
    """Dashes between lanes and lines at the edges, as the share of a pixel that they cover."""
    paint = canvas.palette.add("paint", spread=0.1)
    strength = np.float32(max(0.0, dice.uniform(-0.2, 0.9)))
    gsd, survey, unit = place.frame.gsd, place.survey, np.float32(place.unit)
    if gsd > 1.2 or strength == 0:
        return
    for main, other, along in (
        (network.p_main, network.q_main, survey.q),
        (network.q_main, network.p_main, survey.p),
    ):
        clear = network.road & (main.inside > 0) & (other.inside < -1)
        if not clear.any():
            continue
        cycle = along[clear] / 12.0
        dash = (cycle - np.floor(cycle)) < 0.4
        distance, half = main.distance[clear], main.half[clear]
        # A wide road has a line every 3.5 m; a narrow one has its middle line alone.
        lane = np.where(half > 7 * unit, np.float32(3.5), np.float32(99)) * unit
        off_lane = np.abs(distance - lane * np.floor(distance / lane + np.float32(0.5)))
        edge = _stroke(np.abs(main.inside[clear] - np.float32(0.5)), gsd)
        line = strength * np.maximum(_stroke(off_lane, gsd) * dash, edge)
        canvas.other[clear] = paint
        canvas.share[clear] = line


def _stroke(distance: Floats, gsd: float) -> Floats:
    """Share of a pixel under a line 0.25 m wide, by the distance of its middle."""
    half = 0.125
    covered = np.clip((half + gsd / 2 - distance) / gsd, 0, 1)
    result: Floats = np.minimum(covered, np.float32(min(1.0, 2 * half / gsd)))
    return result
