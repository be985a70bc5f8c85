"""Plan: main roads, the quarters between them, and the lots of each quarter.

Main roads run where a plan coordinate is constant, so they bend and cross as the coordinates do.
Quarters are rectangles in plan coordinates. Within a quarter, lots stand in rows: straight ones,
or rings around the quarter's middle. So every pixel finds its quarter and lot by arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geocamss.simulate.axes import Axes
from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.fabric import FABRICS
from geocamss.simulate.frame import Bools, Doubles, Frame, Ints

__all__ = ["Lines", "Plan", "Quarters", "make_plan"]

_PROBES = 48
"""Points a side at which the ground is probed for the quarters that show."""

_STREET = 6.0
"""Width that a minor street takes from its block, in meters."""


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
    """A fabric, or woods, field, park, bare or scrub."""

    shown: Bools
    """Whether any of it lies within the frame."""

    turned: Bools
    """False: streets run along q and rows are stacked along p; True: the other way."""

    circus: Bools
    """True: rows are rings around the middle, whatever ``turned`` says."""

    streets: Ints
    """Minor streets along the rows."""

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

    roundabout: tuple[float, float]
    """Radius of the island and of the outer curb where main roads cross; (0, 0) = none."""

    @property
    def lots(self) -> int:
        """How many there are."""
        return int(self.row_lots.sum())

    def bounds(self, quarter: int) -> tuple[float, float, float, float]:
        """Least and largest p, least and largest q of a quarter, road center to road center."""
        i, j = divmod(quarter, self.quarters.shape[1])
        p, q = self.p_lines.at, self.q_lines.at
        return float(p[i]), float(p[i + 1]), float(q[j]), float(q[j + 1])

    def extent(self, quarter: int) -> tuple[float, float]:
        """How far a quarter reaches across its rows and along them, in meters."""
        p0, p1, q0, q1 = self.bounds(quarter)
        if self.quarters.circus[quarter]:
            radius = min(p1 - p0, q1 - q0) / 2
            return radius, 2 * math.pi * radius
        return (q1 - q0, p1 - p0) if self.quarters.turned[quarter] else (p1 - p0, q1 - q0)

    def locate(self, quarter: int, across: Doubles, along: Doubles) -> tuple[Doubles, Doubles]:
        """Ground points of a quarter's own coordinates, in meters."""
        p0, p1, q0, q1 = self.bounds(quarter)
        if self.quarters.circus[quarter]:
            angle = along / self.extent(quarter)[1] * (2 * math.pi)
            p = (p0 + p1) / 2 + across * np.cos(angle)
            q = (q0 + q1) / 2 + across * np.sin(angle)
            return self.axes.to_ground(p, q)
        if self.quarters.turned[quarter]:
            return self.axes.to_ground(p0 + along, q0 + across)
        return self.axes.to_ground(p0 + across, q0 + along)


def make_plan(seed: int, frame: Frame, climate: Climate) -> Plan:
    """Draw the plan of a landscape."""
    dice = Dice(seed, "plan")
    unit = frame.unit
    axes = Axes.draw(dice, unit)
    spacing = min(max(0.42 * frame.span, 88.0), 230.0) * dice.uniform(0.85, 1.2) * unit
    highway = frame.span > 200 and dice.chance(0.35)
    p_at, q_at = _positions(dice, frame, axes, spacing)
    quarters, row_lots = _Surveyor(dice, frame, climate, axes, p_at, q_at).quarters()
    built = np.array([use in FABRICS for use in quarters.use]).reshape(quarters.shape)
    p_lines = _lines(dice, p_at, built, unit, highway=highway)
    q_lines = _lines(dice, q_at, built.T, unit, highway=False)
    island = dice.uniform(5, 12) * unit if dice.chance(0.4) and not highway else 0.0
    return Plan(
        axes=axes,
        p_lines=p_lines,
        q_lines=q_lines,
        quarters=quarters,
        row_lots=row_lots,
        row_base=_starts(row_lots),
        roundabout=(island, island + dice.uniform(6, 8) * unit if island else 0.0),
    )


def _starts(counts: Ints) -> Ints:
    """Where each run begins when runs of these lengths are laid end to end."""
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)


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
            up.append(up[-1] + spacing * dice.uniform(0.65, 1.4))
        while down[-1] > center - reach:
            down.append(down[-1] - spacing * dice.uniform(0.65, 1.4))
        found.append(np.array(down[:0:-1] + up))
    return found[0], found[1]


def _lines(dice: Dice, at: Doubles, built: Bools, unit: float, *, highway: bool) -> Lines:
    """Main roads of one axis; ``built``: (its intervals, the other's), True = town."""
    half = dice.uniforms(3.4, 5.4, len(at)) * unit
    median = np.zeros(len(at))
    if highway:
        chosen = len(at) // 2
        half[chosen] = dice.uniform(10, 15) * unit
        median[chosen] = dice.uniform(1.0, 2.5) * unit
    # Town has nearly all of its roads; out in the country every other one is left out.
    beside = np.zeros((len(at), built.shape[1]), dtype=np.bool_)
    beside[1:] |= built
    beside[:-1] |= built
    present = dice.uniforms(0, 1, beside.size).reshape(beside.shape) < np.where(beside, 0.93, 0.55)
    # The middle line is whole, so the others have something to be connected to.
    present[len(at) // 2] = True
    return Lines(at, half, median, present)


@dataclass(frozen=True)
class _Surveyor:
    """Cuts the land between the main roads into quarters and lots."""

    dice: Dice
    frame: Frame
    climate: Climate
    axes: Axes
    p_at: Doubles
    q_at: Doubles

    def quarters(self) -> tuple[Quarters, Ints]:
        """All quarters, and the lots of each of their rows."""
        dice, unit = self.dice, self.frame.unit
        shape = (len(self.p_at) - 1, len(self.q_at) - 1)
        count = shape[0] * shape[1]
        use, shown = self._uses(shape)
        turned = dice.uniforms(0, 1, count) < 0.5
        wish = dice.uniforms(0, 1, count) < self.climate.circus
        p_side, q_side = np.meshgrid(np.diff(self.p_at), np.diff(self.q_at), indexing="ij")
        across = np.where(turned, q_side.ravel(), p_side.ravel()) / unit
        along = np.where(turned, p_side.ravel(), q_side.ravel()) / unit
        circus = np.zeros(count, dtype=np.bool_)
        streets, links, rows = (np.zeros(count, dtype=np.intp) for _ in range(3))
        row_lots: list[int] = []
        for k in range(count):
            wide, long = float(across[k]), float(along[k])
            radius = min(wide, long) / 2
            circus[k] = bool(wish[k]) and use[k] in FABRICS and radius > 60
            cut = self._ring if circus[k] else self._straight
            streets[k], links[k], lots = cut(
                use[k], *((radius, 0.0) if circus[k] else (wide, long))
            )
            rows[k] = len(lots)
            row_lots += lots
        quarters = Quarters(
            shape=shape,
            use=use,
            shown=shown,
            turned=turned,
            circus=circus,
            streets=streets,
            links=links,
            half=dice.uniforms(2.5, 3.6, count) * unit,
            rows=rows,
            row_base=_starts(rows),
        )
        return quarters, np.array(row_lots, dtype=np.intp)

    def _straight(self, use: str, across: float, along: float) -> tuple[int, int, list[int]]:
        """Streets, links, and lots of each row of a quarter with straight rows."""
        dice = self.dice
        if use in FABRICS:
            fabric = FABRICS[use]
            block = 2 * fabric.ranks * dice.uniform(*fabric.depth) + _STREET
            streets = max(0, round(across / block) - 1)
            links = max(0, round(along / dice.uniform(90, 150)) - 1) if streets else 0
            lots = max(1, round(along / dice.uniform(*fabric.frontage)))
            return streets, links, [lots] * (2 * fabric.ranks * (streets + 1))
        if use == "field":
            rows = min(4, max(1, round(across / dice.uniform(35, 100))))
            return 0, 0, [max(1, round(along / dice.uniform(45, 160))) for _ in range(rows)]
        return 0, 0, [1]

    def _ring(self, use: str, radius: float, _: float) -> tuple[int, int, list[int]]:
        """Streets, links, and lots of each row of a quarter whose rows are rings."""
        dice, fabric = self.dice, FABRICS[use]
        block = 2 * fabric.ranks * dice.uniform(*fabric.depth) + _STREET
        streets = max(1, round(radius / block) - 1)
        frontage = dice.uniform(*fabric.frontage)
        rows = 2 * fabric.ranks * (streets + 1)
        lots = [
            max(1, round(2 * math.pi * radius * (row + 0.5) / rows / frontage))
            for row in range(rows)
        ]
        return streets, dice.integer(3, 7), lots

    def _uses(self, shape: tuple[int, int]) -> tuple[tuple[str, ...], Bools]:
        """Town around a middle, country farther out; what shows has homes, green and bare land."""
        dice, (width, height) = self.dice, self.frame.size
        steps = (np.arange(_PROBES) + 0.5) / _PROBES
        p, q = self.axes.to_plan(width * steps[None, :], height * steps[:, None])
        i, j = np.searchsorted(self.p_at, p, "right"), np.searchsorted(self.q_at, q, "right")
        seen = np.bincount(((i - 1) * shape[1] + j - 1).ravel(), minlength=shape[0] * shape[1])
        visible = [k for k in self._by_distance() if seen[k] * 40 >= seen.sum()]
        built = max(1, round(dice.uniform(*self.climate.built) * len(visible)))
        wild, town = self.climate.wild, self.climate.town
        use = dice.picks(list(wild), shape[0] * shape[1], list(wild.values()))
        # Neighborhoods are of a kind: a landscape has two or three ways of building.
        kinds = dice.picks(list(town), 3, list(town.values()))
        for k in visible[:built]:
            use[k] = dice.pick((*kinds, "park", "bare"), (40, 25, 20, 7, 8))
        homes = {name: share for name, share in town.items() if not FABRICS[name].large}
        use[visible[0]] = dice.pick(list(homes), list(homes.values()))
        for k, must in zip(visible[built:], (("woods", "park"), ("bare", "field")), strict=False):
            use[k] = dice.pick(must)
        return tuple(use), seen > 0

    def _by_distance(self) -> list[int]:
        """Quarters by their distance from the middle of the town."""
        width, height = self.frame.size
        town = self.dice.uniform(0.25, 0.75) * width, self.dice.uniform(0.25, 0.75) * height
        p_mid, q_mid = (self.p_at[1:] + self.p_at[:-1]) / 2, (self.q_at[1:] + self.q_at[:-1]) / 2
        p, q = np.meshgrid(p_mid, q_mid, indexing="ij")
        x, y = self.axes.to_ground(p.ravel(), q.ravel())
        order: list[int] = np.argsort(
            (x - town[0]) ** 2 + (y - town[1]) ** 2, kind="stable"
        ).tolist()
        return order
