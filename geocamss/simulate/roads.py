"""Roads: main roads with their crossings, and minor streets that hang on to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from geocamss.simulate.canvas import LAND, ROAD, VEGETATION, Canvas
from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Floats, Ints
from geocamss.simulate.noise import fractal
from geocamss.simulate.plan import BUILT, Lines, Plan
from geocamss.simulate.spectra import Palette
from geocamss.simulate.survey import Survey
from geocamss.simulate.water import Water

__all__ = ["paint_roads"]


@dataclass(frozen=True)
class _Main:
    """The nearest line of one axis, pixel by pixel."""

    distance: Floats
    inside: Floats
    """Meters inside the curb; negative beyond it, and where the line is not built."""
    median: Bools


def paint_roads(
    seed: int,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    plan: Plan,
    survey: Survey,
    water: Water,
) -> Bools:
    """Paint the roads and give the mask of what they take up, sidewalks included."""
    frame = canvas.frame
    dice = Dice(seed, "roads")
    p_main = _nearest(plan.p_lines, survey.p, survey.i, survey.j)
    q_main = _nearest(plan.q_lines, survey.q, survey.j, survey.i)
    inside = np.maximum(p_main.inside, q_main.inside)
    median = (p_main.median & (q_main.inside < 0)) | (q_main.median & (p_main.inside < 0))
    island, curb = plan.roundabout
    if curb:
        apart = np.sqrt(p_main.distance**2 + q_main.distance**2)
        meets = (p_main.inside > -curb) & (q_main.inside > -curb)
        inside = np.where(meets, np.maximum(inside, np.float32(curb) - apart), inside)
        median |= meets & (apart < island)
    minor, minor_inside = _streets(plan, survey)
    if not water.bridged:
        inside = np.where(water.wet, np.float32(-99), inside)
    minor_inside = np.where(water.near, np.float32(-99), minor_inside)
    road = _connected(((inside > 0) & ~median) | (minor_inside > 0), p_main.inside > 0)
    median &= inside > 0
    reach = np.maximum(inside, minor_inside)
    _paint_edges(seed, dice, canvas, palette, climate, plan, survey, reach, road, median)
    _paint_surface(seed, dice, canvas, palette, road, minor & ~(inside > 0), median)
    _paint_marks(dice, canvas, palette, survey, plan, p_main, q_main, road)
    return (reach > -2.5 * frame.unit) & ndimage.binary_dilation(
        road, iterations=max(1, round(3 * frame.unit / frame.gsd))
    )


def _nearest(lines: Lines, at: Floats, own: Ints, other: Ints) -> _Main:
    """Distance to the nearest main road of one axis, and how far inside its curb."""
    behind, ahead = at - lines.at[own], lines.at[own + 1] - at
    line = own + (ahead < behind)
    distance = np.minimum(behind, ahead).astype(np.float32)
    built = lines.present[line, np.minimum(other, lines.present.shape[1] - 1)]
    inside = np.where(built, lines.half[line].astype(np.float32) - distance, np.float32(-99))
    return _Main(distance, inside, built & (distance < lines.median[line]))


def _streets(plan: Plan, survey: Survey) -> tuple[Bools, Floats]:
    """Minor streets: where they are the nearest road, and meters inside their curbs."""
    quarters, quarter = plan.quarters, survey.quarter
    half = quarters.half[quarter].astype(np.float32)
    best = np.full(half.shape, np.float32(-99))
    for count, at, width in (
        (quarters.streets, survey.across, survey.width_across),
        (quarters.links, survey.along, survey.width_along),
    ):
        parts = (count[quarter] + 1).astype(np.float32)
        place = at * parts / width
        nearest = np.floor(place + np.float32(0.5))
        inner = (nearest > 0) & (nearest < parts)
        inside = half - np.abs(place - nearest) * width / parts
        best = np.where(inner, np.maximum(best, inside), best)
    return best > 0, best


def _connected(road: Bools, main: Bools) -> Bools:
    """The largest connected part of the network; stray pieces are not built."""
    labels, count = ndimage.label(road)
    if count < 2:
        return road
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    keep = int(np.argmax(sizes))
    result: Bools = labels == keep
    return result


def _paint_edges(
    seed: int,
    dice: Dice,
    canvas: Canvas,
    palette: Palette,
    climate: Climate,
    plan: Plan,
    survey: Survey,
    reach: Floats,
    road: Bools,
    median: Bools,
) -> None:
    """Sidewalks in town, verges outside."""
    unit = canvas.frame.unit
    town = np.array([use in BUILT for use in plan.quarters.use])[survey.quarter]
    beside = (reach > -dice.uniform(1.2, 2.6) * unit) & ~road
    beside &= ndimage.binary_dilation(road, iterations=max(1, round(3 * unit / canvas.frame.gsd)))
    beside &= canvas.classes != 1
    walk = palette.add(dice.pick(("concrete", "gravel")), spread=0.15)
    canvas.fill(beside & town, LAND, walk)
    verge = beside & ~town
    if climate.name == "desert":
        canvas.fill(verge, LAND, palette.add("gravel", spread=0.15))
    else:
        canvas.fill(verge, VEGETATION, palette.add("grass", spread=0.2))
    green = dice.chance(0.6)
    strip = median & (canvas.classes != 1)
    canvas.fill(
        strip,
        VEGETATION if green else LAND,
        palette.add("grass" if green else "concrete", spread=0.2),
    )
    canvas.gain[beside | strip] = 1


def _paint_surface(
    seed: int,
    dice: Dice,
    canvas: Canvas,
    palette: Palette,
    road: Bools,
    minor: Bools,
    median: Bools,
) -> None:
    fresh = palette.add(dice.pick(("asphalt", "old asphalt")), spread=0.2)
    worn = palette.add(dice.pick(("asphalt", "old asphalt"), (1, 2)), spread=0.25)
    canvas.fill(road & ~median, ROAD, fresh)
    canvas.cover[road & minor] = worn
    wear = fractal(seed, "wear", canvas.frame, 25.0, 0.0, 0.7)
    canvas.gain[road] = 1 + np.float32(0.05) * wear[road]


def _paint_marks(
    dice: Dice,
    canvas: Canvas,
    palette: Palette,
    survey: Survey,
    plan: Plan,
    p_main: _Main,
    q_main: _Main,
    road: Bools,
) -> None:
    """Center dashes and edge lines, as the share of a pixel that they cover."""
    gsd = canvas.frame.gsd
    if gsd > 1.2:
        return
    paint = palette.add("paint", spread=0.1)
    strength = np.float32(dice.uniform(0.3, 0.9))
    for main, other, along in ((p_main, q_main, survey.q), (q_main, p_main, survey.p)):
        clear = road & (main.inside > 0) & (other.inside < -1)
        cycle = along / 12.0
        dash = (cycle - np.floor(cycle)) < 0.4
        center = _stroke(main.distance, gsd) * dash
        edge = _stroke(np.abs(main.inside - np.float32(0.5)), gsd)
        line = strength * np.maximum(center, edge)
        hit = clear & (line > 0.02)
        canvas.other[hit] = paint
        canvas.share[hit] = line[hit]


def _stroke(distance: Floats, gsd: float) -> Floats:
    """Share of a pixel under a line 0.25 m wide, by the distance of its center."""
    half = 0.125
    covered = np.clip((half + gsd / 2 - distance) / gsd, 0, 1)
    result: Floats = np.minimum(covered, np.float32(min(1.0, 2 * half / gsd)))
    return result
