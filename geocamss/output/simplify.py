"""Simplify: borders with fewer vertices, one by one, so that a map stays one coverage.

A border is simplified alone, and the same way whichever neighbor asks, so neighbors keep it in
common. Vertices are taken out, one or two that stand side by side at a time, while

1. no point of the border moves by more than the tolerance;
2. over each stretch that becomes straight, what one neighbor loses the other loses elsewhere: the
   net area between old and new is at most ``LEAN`` pixels times the stretch's old length;
3. the triangles that are cut off hold no corner of any outline of the map, save those of this
   border that were cut off before.

That nothing crosses, touches or vanishes then follows without looking at what becomes of other
borders. By (3), a new edge meets no vertex of another border, whichever of its vertices that has
kept; and an edge that came into a triangle without ending there would cross one of its two old
sides. What is left is two borders that become the same straight line, or a ring without area: the
ground between them, or within, was at least one pixel, and by (2) it changes by at most ``LEAN``
times its outline. As n pixels have an outline of at most 2 n + 2, that is less than n. Hence also
areas: each polygon keeps its own to within ``LEAN`` times its perimeter, and errors of neighbors
cancel.

The order is greedy, least displacement first, in rounds: each takes all removals that are better
than any other in their reach. It depends on the border's own vertices alone. That a stretch may be
balanced by two vertices at once is what makes straight lines of the staircases that pixels are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geocamss.output.borders import Borders
from geocamss.output.chains import ragged
from geocamss.output.corners import Corners

__all__ = ["LEAN", "simplify_borders"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAN = 0.1
"""Pixels by which a stretch of border may move on average; below 1/4 no polygon can vanish."""

_MOST = 2
"""Vertices that are taken out at once, at most."""

_UNKNOWN = -1.0


def simplify_borders(
    borders: Borders, tolerance: float, scales: tuple[Floats, Floats], corners: Corners
) -> Bools:
    """Choose the vertices that stay.

    Args:
        borders: what to simplify.
        tolerance: in meters.
        scales: meters for a pixel downward and rightward, (m,) each, by border.
        corners: all corners of the map's outlines, as far down as the borders reach.

    Returns:
        (v,) True = the vertex stays; ends of borders do.
    """
    paths = _Paths(borders, tolerance, scales, corners)
    kept = np.ones(len(borders.rows), dtype=bool)
    lengths = np.diff(borders.offsets)
    long = lengths > 2
    now = ragged(borders.offsets[:-1][long], lengths[long])
    removals = _Removals(paths, now, np.full((_MOST, len(now)), _UNKNOWN))
    while len(removals.now):
        removals.rate()
        removals = removals.where_any_is_left()
        gone = removals.take()
        kept[gone] = False
    return kept


class _Paths:
    """Borders, with what is asked of their vertices again and again."""

    def __init__(
        self,
        borders: Borders,
        tolerance: float,
        scales: tuple[Floats, Floats],
        corners: Corners,
    ) -> None:
        self.rows, self.columns = borders.rows, borders.columns
        self.tolerance = tolerance
        self.corners = corners
        self.border = np.repeat(np.arange(len(borders)), np.diff(borders.offsets))
        self.scales = scales
        self.inner = np.ones(len(self.rows), dtype=bool)
        self.inner[borders.offsets[:-1]] = False
        self.inner[borders.offsets[1:] - 1] = False
        self.number = self.rows * corners.columns + self.columns
        # Of two removals that are as good, chance decides; the same on both sides of a border.
        self.chance = self.number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        down, right = np.diff(self.rows), np.diff(self.columns)
        self.length = np.concatenate(([0], np.cumsum(np.abs(down) + np.abs(right))))
        swept = self.rows[:-1] * right - self.columns[:-1] * down
        self.swept = np.concatenate(([0], np.cumsum(swept)))
        owned = np.flatnonzero(self.inner)
        self.owner = owned[np.argsort(self.number[owned])]
        self.owned = self.number[self.owner]

    def is_fair(self, first: Ints, last: Ints) -> Bools:
        """Whether a straight line from vertex to vertex takes as much as it gives."""
        net = self.swept[last] - self.swept[first]
        net += self.rows[last] * self.columns[first] - self.columns[last] * self.rows[first]
        length = self.length[last] - self.length[first]
        return np.asarray(
            (np.abs(net) <= 2 * LEAN * length) & (self.number[first] != self.number[last])
        )

    def displacement(self, first: Ints, last: Ints) -> Floats:
        """Farthest distance, in meters, of the old border from the line that replaces it."""
        between = last - first - 1
        vertex = ragged(first + 1, between)
        line = np.repeat(np.arange(len(first)), between)
        down, right = (scale[self.border[first]] for scale in self.scales)
        dy = (self.rows[last] - self.rows[first]) * down
        dx = (self.columns[last] - self.columns[first]) * right
        y = (self.rows[vertex] - self.rows[first][line]) * down[line]
        x = (self.columns[vertex] - self.columns[first][line]) * right[line]
        square = dx * dx + dy * dy
        along = np.clip((x * dx[line] + y * dy[line]) / square[line], 0.0, 1.0)
        away = np.hypot(x - along * dx[line], y - along * dy[line])
        return np.asarray(np.maximum.reduceat(away, np.cumsum(between) - between))

    def is_free(self, first: Ints, middle: Ints, last: Ints) -> Bools:
        """Whether triangles hold no corner but those of their border from first to last."""
        rows = np.stack([self.rows[v] for v in (first, middle, last)])
        columns = np.stack([self.columns[v] for v in (first, middle, last)])
        triangle, row, column = _lattice_points(rows, columns)
        found = np.flatnonzero(self.corners.at(row, column))
        triangle, row, column = triangle[found], row[found], column[found]
        inside = _inside(rows[:, triangle], columns[:, triangle], row, column)
        triangle = triangle[inside]
        number = row[inside] * self.corners.columns + column[inside]
        begin, end = first[triangle], last[triangle]
        place = np.searchsorted(self.owned, number)
        np.minimum(place, len(self.owned) - 1, out=place)
        vertex = self.owner[place]
        own = (self.owned[place] == number) & (begin <= vertex) & (vertex <= end)
        own |= (number == self.number[begin]) | (number == self.number[end])
        free = np.ones(len(first), dtype=bool)
        free[triangle[~own]] = False
        return free


class _Removals:
    """What may still be taken out of some borders."""

    def __init__(self, paths: _Paths, now: Ints, costs: Floats) -> None:
        self.paths = paths
        self.now = now
        """(n,) vertices that are left, border by border."""
        self._costs = costs
        """(2, n) meters that it costs to take out one or two vertices from here on; inf where that
        is not possible, below zero where it is not known."""

    def rate(self) -> None:
        """Find out the costs that are not known."""
        now, paths = self.now, self.paths
        inner = np.append(paths.inner[now], np.zeros(_MOST, dtype=bool))
        fits = inner[: len(now)].copy()
        for count in range(1, _MOST + 1):
            costs = self._costs[count - 1]
            fits &= inner[count - 1 : count - 1 + len(now)]
            at = np.flatnonzero(costs < 0)
            costs[at] = np.inf
            at = at[fits[at]]
            first, last = now[at - 1], now[at + count]
            fair = paths.is_fair(first, last)
            at, first, last = at[fair], first[fair], last[fair]
            if len(at):
                costs[at] = paths.displacement(first, last)
                costs[at[costs[at] > paths.tolerance]] = np.inf

    def where_any_is_left(self) -> _Removals:
        """The borders that have something to take out."""
        border = self.paths.border[self.now]
        new = np.append(True, border[1:] != border[:-1])
        rank = np.cumsum(new) - 1
        some = np.isfinite(self._costs).any(axis=0)
        left = np.bincount(rank, weights=some)[rank] > 0
        return _Removals(self.paths, self.now[left], self._costs[:, left])

    def take(self) -> Ints:
        """Take out what is best in its reach, and give the vertices."""
        if not len(self.now):
            return self.now
        at, count = self._best()
        free = self._is_free(at, count)
        self._costs[count[~free] - 1, at[~free]] = np.inf
        at, count = at[free], count[free]
        gone = ragged(at, count)
        stays = np.ones(len(self.now), dtype=bool)
        stays[gone] = False
        taken = self.now[gone]
        # What began or ended beside them is another removal now.
        for back in range(1, _MOST + 1):
            before = at - back
            self._costs[back - 1 :, before[before >= 0]] = _UNKNOWN
        self._costs[:, at + count] = _UNKNOWN
        self.now, self._costs = self.now[stays], self._costs[:, stays]
        return taken

    def _best(self) -> tuple[Ints, Ints]:
        """Removals that cost less than any other in reach: where, and of how many vertices."""
        cost = self._costs.min(axis=0)
        chance = self.paths.chance[self.now]
        best = np.isfinite(cost)
        border = self.paths.border[self.now]
        for step in range(1, _MOST + 1):
            one, other = slice(None, -step), slice(step, None)
            apart = border[one] != border[other]
            less = cost[other] < cost[one]
            less |= (cost[other] == cost[one]) & (chance[other] < chance[one])
            best[one] &= ~less | apart
            best[other] &= less | np.isinf(cost[one]) | apart
        at = np.flatnonzero(best)
        return at, 1 + self._costs[:, at].argmin(axis=0)

    def _is_free(self, at: Ints, count: Ints) -> Bools:
        """Whether the triangles of removals are free; of several vertices, the first goes first."""
        now = self.now
        free = np.ones(len(at), dtype=bool)
        for step in range(_MOST):
            more = np.flatnonzero(free & (count > step))
            middle = at[more] + step
            free[more] = self.paths.is_free(now[at[more] - 1], now[middle], now[middle + 1])
        return free


def _lattice_points(rows: Ints, columns: Ints) -> tuple[Ints, Ints, Ints]:
    """Corners of pixels in triangles, and maybe some beside them.

    Args:
        rows: (3, n) of the triangles' vertices.
        columns: (3, n) likewise.

    Returns:
        Triangle, row and column of each.
    """
    top = rows.min(axis=0)
    lines = rows.max(axis=0) - top + 1
    triangle = np.repeat(np.arange(len(top)), lines)
    row = ragged(top, lines)
    low = np.full(len(row), np.inf)
    high = np.full(len(row), -np.inf)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        y0, y1 = rows[one][triangle], rows[other][triangle]
        x0, x1 = columns[one][triangle], columns[other][triangle]
        meets = (np.minimum(y0, y1) <= row) & (row <= np.maximum(y0, y1))
        part = (row - y0) / np.where(y0 == y1, 1, y1 - y0)
        x = x0 + part * (x1 - x0)
        for end in (np.where(y0 == y1, x0, x), np.where(y0 == y1, x1, x)):
            low = np.where(meets, np.minimum(low, end), low)
            high = np.where(meets, np.maximum(high, end), high)
    first = np.ceil(low - 1e-6).astype(np.int64)
    count = np.floor(high + 1e-6).astype(np.int64) - first + 1
    np.maximum(count, 0, out=count)
    return np.repeat(triangle, count), np.repeat(row, count), ragged(first, count)


def _inside(rows: Ints, columns: Ints, row: Ints, column: Ints) -> Bools:
    """Whether points lie in triangles, (3, n), or on their edges; exact."""
    turns = []
    for one, other in ((0, 1), (1, 2), (2, 0)):
        dy, dx = rows[other] - rows[one], columns[other] - columns[one]
        turns.append(dx * (row - rows[one]) - dy * (column - columns[one]))
    lowest, highest = np.min(turns, axis=0), np.max(turns, axis=0)
    flat = (lowest == 0) & (highest == 0)
    within = (rows.min(axis=0) <= row) & (row <= rows.max(axis=0))
    within &= (columns.min(axis=0) <= column) & (column <= columns.max(axis=0))
    return np.asarray(((lowest >= 0) | (highest <= 0)) & (~flat | within))
