"""Plan: main roads, the quarters between them, and the lots of each quarter.

A plan has coordinates of its own, (p, q): the ground's, turned and gently bent. Main roads run
where p or q is constant, so they bend and cross as the coordinates do; quarters are rectangles in
(p, q), and so are lots. Every pixel finds its quarter and lot by arithmetic, not by search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Doubles, Frame, Ints
from geocamss.simulate.noise import wave

__all__ = ["BUILT", "Axes", "Lines", "Plan", "Quarters", "make_plan"]

BUILT = ("homes", "works")
"""Uses of a quarter that put buildings on it."""

_PROBES = 48
"""Points a side at which the ground is probed for the quarters that show."""


@dataclass(frozen=True)
class Axes:
    """The plan's coordinates: a turn, then two bends along each axis."""

    angle: float
    """Turn, in radians."""

    bends: tuple[tuple[float, float, float], ...]
    """Amplitude in meters, wavelength in meters and phase of four waves: two of p, two of q."""

    def to_plan(self, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        """Plan coordinates of ground points, in meters."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        u, v = cos * x + sin * y, cos * y - sin * x
        return u + self._bend(0, v, u), v + self._bend(2, u, v)

    def to_ground(self, p: Doubles, q: Doubles) -> tuple[Doubles, Doubles]:
        """Ground points of plan coordinates, by fixed-point iteration, to a millimeter."""
        u, v = p, q
        for _ in range(20):  # each round shrinks the error at least by half
            u, v = p - self._bend(0, v, u), q - self._bend(2, u, v)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * u - sin * v, sin * u + cos * v

    def heading(self, p: Doubles, q: Doubles) -> tuple[Doubles, Doubles]:
        """Unit ground vectors of growing q, for points of the plan."""
        x0, y0 = self.to_ground(p, q - 0.5)
        x1, y1 = self.to_ground(p, q + 0.5)
        length = np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
        return (x1 - x0) / length, (y1 - y0) / length

    def _bend(self, first: int, along: Doubles, across: Doubles) -> Doubles:
        """The two waves of one axis; the second runs aslant, so that streets are not alike."""
        (a0, l0, f0), (a1, l1, f1) = self.bends[first : first + 2]
        return a0 * wave(along / l0 + f0) + a1 * wave((along + 0.3 * across) / l1 + f1)


@dataclass(frozen=True)
class Lines:
    """Main roads at constant p, or at constant q."""

    at: Doubles
    """Positions, ascending, in meters."""

    half: Doubles
    """Half widths, in meters."""

    median: Doubles
    """Half widths of the strip between the carriageways, in meters; 0 = one carriageway."""

    present: Bools
    """(lines, intervals of the other axis): where the line is built."""


@dataclass(frozen=True)
class Quarters:
    """The land between main roads; arrays over quarters, row-major over (p, q) intervals."""

    shape: tuple[int, int]
    """Intervals of p and of q."""

    use: tuple[str, ...]
    """homes, works, field, woods, park, bare or scrub."""

    shown: Bools
    """Whether any of it lies within the frame."""

    turned: Bools
    """False: streets run along q and rows are stacked along p; True: the other way."""

    streets: Ints
    """Minor streets that run the quarter's whole length."""

    links: Ints
    """Minor streets that cross those."""

    half: Doubles
    """Half width of its minor streets, in meters."""

    rows: Ints
    """Rows of lots."""

    row_base: Ints
    """Number of each quarter's first row among all rows."""


@dataclass(frozen=True)
class Plan:
    """Where everything man-made may stand."""

    axes: Axes
    p_lines: Lines
    q_lines: Lines
    quarters: Quarters

    row_lots: Ints
    """Lots of each row, over all rows of all quarters."""

    row_base: Ints
    """Number of each row's first lot among all lots."""

    lot_quarter: Ints
    """Quarter of each lot."""

    roundabout: tuple[float, float]
    """Radius of the island and of the outer curb where main roads cross; (0, 0) = none."""

    def bounds(self, quarter: int) -> tuple[float, float, float, float]:
        """Least and largest p, least and largest q of a quarter, road center to road center."""
        i, j = divmod(quarter, self.quarters.shape[1])
        p, q = self.p_lines.at, self.q_lines.at
        return float(p[i]), float(p[i + 1]), float(q[j]), float(q[j + 1])


def make_plan(seed: int, frame: Frame, climate: Climate) -> Plan:
    """Draw the plan of a landscape."""
    dice = Dice(seed, "plan")
    unit = frame.unit
    axes = _axes(dice, frame)
    spacing = min(max(0.42 * frame.span, 88.0), 230.0) * dice.uniform(0.85, 1.2) * unit
    highway = frame.span > 200 and dice.chance(0.35)
    p_at, q_at = _positions(dice, frame, axes, spacing)
    p_lines = _lines(dice, p_at, len(q_at) - 1, unit, highway=highway)
    q_lines = _lines(dice, q_at, len(p_at) - 1, unit, highway=False)
    quarters, row_lots = _quarters(dice, frame, climate, axes, p_at, q_at)
    row_base = np.concatenate([[0], np.cumsum(row_lots)[:-1]]).astype(np.intp)
    row_quarter = np.repeat(np.arange(len(quarters.use)), quarters.rows)
    island = dice.uniform(5, 12) * unit if dice.chance(0.4) and not highway else 0.0
    curb = island + dice.uniform(6, 8) * unit if island else 0.0
    return Plan(
        axes=axes,
        p_lines=p_lines,
        q_lines=q_lines,
        quarters=quarters,
        row_lots=row_lots,
        row_base=row_base,
        lot_quarter=np.repeat(row_quarter, row_lots),
        roundabout=(island, curb),
    )


def _axes(dice: Dice, frame: Frame) -> Axes:
    """Straight grids in a third of the landscapes, bent ones elsewhere."""
    strength = dice.pick((0.0, 0.5, 1.0), (1, 1, 1.5))
    bends = []
    for share in (1.0, 0.5, 1.0, 0.5):
        length = dice.uniform(350, 800) * share * frame.unit
        # The slope of a wave is at most 8 amplitudes a wavelength: 0.08 to 0.16 here.
        bends.append((strength * length * dice.uniform(0.01, 0.02), length, dice.uniform(0, 1)))
    return Axes(angle=dice.uniform(0, math.pi), bends=tuple(bends))


def _positions(dice: Dice, frame: Frame, axes: Axes, spacing: float) -> tuple[Doubles, Doubles]:
    """Positions of the main roads: one of each axis passes near the middle of the frame."""
    width, height = frame.size
    middle = axes.to_plan(np.array([width / 2]), np.array([height / 2]))
    reach = 0.5 * math.hypot(width, height) * 1.2 + 60 * frame.unit
    found = []
    for center in (float(middle[0][0]), float(middle[1][0])):
        first = center + dice.uniform(-0.3, 0.3) * min(spacing, min(frame.size) * 0.5)
        up, down = [first], [first]
        while up[-1] < center + reach:
            up.append(up[-1] + spacing * dice.uniform(0.75, 1.3))
        while down[-1] > center - reach:
            down.append(down[-1] - spacing * dice.uniform(0.75, 1.3))
        found.append(np.array(down[:0:-1] + up))
    return found[0], found[1]


def _lines(dice: Dice, at: Doubles, intervals: int, unit: float, *, highway: bool) -> Lines:
    half = dice.uniforms(3.6, 5.4, len(at)) * unit
    median = np.zeros(len(at))
    if highway:
        chosen = len(at) // 2
        half[chosen] = dice.uniform(11, 15) * unit
        median[chosen] = dice.uniform(1.0, 2.5) * unit
    present = dice.uniforms(0, 1, len(at) * intervals).reshape(len(at), intervals) < 0.82
    # The middle line is whole, so the others have something to be connected to.
    present[len(at) // 2] = True
    return Lines(at, half, median, present)


def _quarters(
    dice: Dice, frame: Frame, climate: Climate, axes: Axes, p_at: Doubles, q_at: Doubles
) -> tuple[Quarters, Ints]:
    shape = (len(p_at) - 1, len(q_at) - 1)
    count = shape[0] * shape[1]
    use, shown = _uses(dice, frame, climate, axes, p_at, q_at)
    turned = dice.uniforms(0, 1, count) < 0.5
    sides = np.meshgrid(np.diff(p_at), np.diff(q_at), indexing="ij")
    across = np.where(turned, sides[1].ravel(), sides[0].ravel()) / frame.unit
    along = np.where(turned, sides[0].ravel(), sides[1].ravel()) / frame.unit
    streets, links, rows = (np.zeros(count, dtype=np.intp) for _ in range(3))
    row_lots: list[int] = []
    for k in range(count):
        streets[k], links[k], lots = _subdivide(dice, use[k], float(across[k]), float(along[k]))
        rows[k] = len(lots)
        row_lots += lots
    quarters = Quarters(
        shape=shape,
        use=use,
        shown=shown,
        turned=turned,
        streets=streets,
        links=links,
        half=dice.uniforms(2.5, 3.6, count) * frame.unit,
        rows=rows,
        row_base=np.concatenate([[0], np.cumsum(rows)[:-1]]).astype(np.intp),
    )
    return quarters, np.array(row_lots, dtype=np.intp)


def _subdivide(dice: Dice, use: str, across: float, along: float) -> tuple[int, int, list[int]]:
    """Minor streets, cross streets, and lots of each row of a quarter."""
    if use in BUILT:
        depth = dice.uniform(17, 25) if use == "homes" else dice.uniform(34, 55)
        frontage = dice.uniform(14, 26) if use == "homes" else dice.uniform(30, 60)
        streets = max(0, round(across / (2 * depth + 6)) - 1)
        links = max(0, round(along / dice.uniform(90, 150)) - 1) if streets else 0
        lots = max(1, round(along / frontage))
        return streets, links, [lots] * (2 * (streets + 1))
    if use == "field":
        rows = min(4, max(1, round(across / dice.uniform(35, 100))))
        return 0, 0, [max(1, round(along / dice.uniform(45, 160))) for _ in range(rows)]
    return 0, 0, [1]


def _uses(
    dice: Dice, frame: Frame, climate: Climate, axes: Axes, p_at: Doubles, q_at: Doubles
) -> tuple[tuple[str, ...], Bools]:
    """Town around a middle, country farther out; whatever shows has homes, green and bare land."""
    shape = (len(p_at) - 1, len(q_at) - 1)
    width, height = frame.size
    steps = (np.arange(_PROBES) + 0.5) / _PROBES
    p, q = axes.to_plan(width * steps[None, :], height * steps[:, None])
    quarter = (
        (np.searchsorted(p_at, p, "right") - 1) * shape[1] + np.searchsorted(q_at, q, "right") - 1
    )
    seen = np.bincount(quarter.ravel(), minlength=shape[0] * shape[1])
    town = dice.uniform(0.25, 0.75) * width, dice.uniform(0.25, 0.75) * height
    middles = np.meshgrid((p_at[1:] + p_at[:-1]) / 2, (q_at[1:] + q_at[:-1]) / 2, indexing="ij")
    x, y = axes.to_ground(middles[0].ravel(), middles[1].ravel())
    rank = np.argsort((x - town[0]) ** 2 + (y - town[1]) ** 2, kind="stable")
    visible = [k for k in rank.tolist() if seen[k] * 40 >= seen.sum()] or rank.tolist()
    built = max(1, round(dice.uniform(*climate.built) * len(visible)))
    names, weights = list(climate.wild), list(climate.wild.values())
    use = dice.picks(names, shape[0] * shape[1], weights)
    for k in visible[:built]:
        use[k] = dice.pick(("homes", "works", "park", "bare"), (70, 18, 6, 6))
    use[visible[0]] = "homes"
    for k, must in zip(visible[built:], ("green", "bare"), strict=False):
        use[k] = dice.pick(("woods", "park")) if must == "green" else dice.pick(("bare", "field"))
    return tuple(use), seen > 0
