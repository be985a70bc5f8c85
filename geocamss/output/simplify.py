"""Simplify: borders with fewer vertices, one by one, so that a map stays one coverage.

A border is simplified alone, and the same way whichever neighbor asks, so neighbors keep it in
common. Vertices are taken out, one or two that stand side by side at a time, while

1. no point of the border moves by more than the tolerance;
2. over the whole border, what one neighbor loses in one place it wins in another: the net area
   between old and new is at most ``LEAN`` pixels times the border's old length;
3. the triangles that are cut off hold no corner of any outline of the map, save those of this
   border that have been taken out before.

That nothing crosses, touches or vanishes then follows without looking at what becomes of other
borders. By (3), a new edge meets no vertex of another border, whichever of its vertices that has
kept; and an edge that came into a triangle without ending there would cross one of its two old
sides. What is left is two borders that become the same straight line, or a ring without area: the
ground between them, or within, was at least one pixel, and by (2) it changes by at most ``LEAN``
times its outline. As n pixels that hang together have an outline of at most 2 n + 2, holes counted
in, that is less than n. Hence also areas: each polygon keeps its own to within a hundredth, and
errors of neighbors cancel.

The order is greedy, least displacement first, in rounds: each takes all removals that are better
than any other in their reach, as far as those that widen and those that narrow a side are balanced.
It depends on the border's own vertices alone. As displacements count in steps, and chance decides
within one, a round takes a good part of what can be taken: rounds are few, however long a border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geocamss.output.borders import Borders
from geocamss.output.chains import ragged, slices
from geocamss.output.corners import Corners
from geocamss.output.triangles import Points, inside, middles, points_within

__all__ = ["simplify_borders"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Levels = NDArray[np.int16]
Bools = NDArray[np.bool_]

LEAN = 0.0049
"""Pixels by which a border may move on average. Areas change by halves of pixels: of n pixels at
most by the whole halves in ``LEAN * (2 n + 2)``, and these are a hundredth of n or less."""

_MOST = 2
"""Vertices that are taken out at once, at most."""

_PASSES = 2
"""How often all is tried: what could not be balanced at first, or was not free, may be later."""

_AT_ONCE = 1 << 18
"""Points that are looked at at once."""

_UNKNOWN = np.int16(-1)
_NEVER = np.iinfo(np.int16).max

_CHANCE_BITS = 48
"""Behind a level of fifteen in one number that puts removals in order."""


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
    lengths = np.diff(borders.offsets)
    long = lengths > 2
    now = ragged(borders.offsets[:-1][long], lengths[long])
    for _ in range(_PASSES):
        _Removals(paths, now).take_all()
        left = paths.kept[now]
        changed = np.zeros(len(borders), dtype=bool)
        changed[paths.border[now[~left]]] = True
        now = now[left & changed[paths.border[now]]]
        if not len(now):
            break
    return paths.kept


class _Paths:
    """Borders, what is asked of their vertices again and again, and what has become of them."""

    def __init__(
        self,
        borders: Borders,
        tolerance: float,
        scales: tuple[Floats, Floats],
        corners: Corners,
    ) -> None:
        self.rows, self.columns = borders.rows, borders.columns
        self.kept = np.ones(len(self.rows), dtype=bool)
        """(v,) vertices that have not been taken out."""
        self.balance = np.zeros(len(borders), dtype=np.int64)
        """(m,) twice the pixels that one side has lost so far."""
        self.known = np.full((_MOST, len(self.rows)), _UNKNOWN)
        """(2, v) what ``levels`` gave for one or two vertices from here on, or ``_NEVER``."""
        self.border = np.repeat(np.arange(len(borders)), np.diff(borders.offsets))
        self.inner = np.ones(len(self.rows), dtype=bool)
        self.inner[borders.offsets[:-1]] = False
        self.inner[borders.offsets[1:] - 1] = False
        self.number = self.rows * corners.columns + self.columns
        self.chance = _scattered(self.number)
        """(v,) of two removals that are as good, the lower goes; alike on both sides."""
        begins, ends = borders.offsets[:-1], borders.offsets[1:] - 1
        steps = np.abs(np.diff(self.rows)) + np.abs(np.diff(self.columns))
        length = np.concatenate(([0], np.cumsum(steps)))
        self.budget = (2 * LEAN * (length[ends] - length[begins])).astype(np.int64)
        """(m,) what ``balance`` may be, to either side."""
        self._tolerance = tolerance
        self._scales = scales
        self._corners = corners
        owned = np.flatnonzero(self.inner)
        self._owner = owned[np.argsort(self.number[owned])]
        self._owned = self.number[self._owner]

    def levels(self, first: Ints, last: Ints) -> Levels:
        """How far the old border is from straight lines from vertex to vertex, in steps.

        There are eight steps from a distance to its double; ``_NEVER`` is beyond the tolerance.
        """
        between = last - first - 1
        found = [np.zeros(0, dtype=np.int16)]
        for part in slices(between, _AT_ONCE):
            square = self._displacement(first[part], last[part], between[part])
            # Exponent and two bits of the fraction: ordered as the numbers are.
            level = (square.view(np.int64) >> 50).astype(np.int16)
            level[square > self._tolerance * self._tolerance] = _NEVER  # which may be infinite
            found.append(level)
        return np.concatenate(found)

    def _displacement(self, first: Ints, last: Ints, between: Ints) -> Floats:
        """Farthest distance of the old border from lines that replace it, squared, in meters."""
        vertex = ragged(first + 1, between)
        line = np.repeat(np.arange(len(first)), between)
        down, right = (scale[self.border[first]] for scale in self._scales)
        row, column = self.rows[first], self.columns[first]
        dy = (self.rows[last] - row) * down
        dx = (self.columns[last] - column) * right
        square = dx * dx + dy * dy
        y = (self.rows[vertex] - row[line]) * down[line]
        x = (self.columns[vertex] - column[line]) * right[line]
        dx, dy = dx[line], dy[line]
        along = x * dx
        along += y * dy
        along /= square[line]
        np.clip(along, 0.0, 1.0, out=along)
        x -= along * dx
        y -= along * dy
        x *= x
        y *= y
        x += y
        return np.asarray(np.maximum.reduceat(x, np.cumsum(between) - between))

    def cross(self, one: Ints, other: Ints) -> Ints:
        """Twice the area of the triangles of two vertices and the lattice's origin."""
        return np.asarray(
            self.rows[one] * self.columns[other] - self.columns[one] * self.rows[other]
        )

    def is_free(self, first: Ints, middle: Ints, last: Ints) -> Bools:
        """Whether triangles hold no corner but those of their border from first to last."""
        rows, columns = (
            np.stack([c[first], c[middle], c[last]]) for c in (self.rows, self.columns)
        )
        along = (rows[1] - rows[0]) * (columns[2] - columns[0])
        area = np.abs(along - (rows[2] - rows[0]) * (columns[1] - columns[0]))
        free = np.ones(len(first), dtype=bool)
        # A triangle of half a pixel holds no corner of a pixel but its own, and one of a whole
        # pixel a single one besides, in the middle of a side (Pick, 1899).
        one = np.flatnonzero(area == 2)
        ends = first[one], last[one]
        free[one] = self._is_free(rows[:, one], columns[:, one], *ends, middles)
        more = np.flatnonzero((area == 0) | (area > 2))
        first, last, rows, columns = first[more], last[more], rows[:, more], columns[:, more]
        points = area[more] // 2 + np.ptp(rows, axis=0) + np.ptp(columns, axis=0) + 2
        for part in slices(points, _AT_ONCE):
            ends = first[part], last[part]
            free[more[part]] = self._is_free(rows[:, part], columns[:, part], *ends, points_within)
        return free

    def _is_free(self, rows: Ints, columns: Ints, first: Ints, last: Ints, points: Points) -> Bools:
        triangle, row, column = points(rows, columns)
        found = np.flatnonzero(self._corners.at(row, column))
        triangle, row, column = triangle[found], row[found], column[found]
        held = inside(rows[:, triangle], columns[:, triangle], row, column)
        triangle = triangle[held]
        number = row[held] * self._corners.columns + column[held]
        begin, end = first[triangle], last[triangle]
        place = np.searchsorted(self._owned, number)
        np.minimum(place, len(self._owned) - 1, out=place)
        vertex = self._owner[place]
        own = (self._owned[place] == number) & (self.border[vertex] == self.border[begin])
        own &= ~self.kept[vertex] | ((begin <= vertex) & (vertex <= end))
        own |= (number == self.number[begin]) | (number == self.number[end])
        free = np.ones(len(first), dtype=bool)
        free[triangle[~own]] = False
        return free


class _Removals:
    """What may still be taken out of some borders."""

    def __init__(self, paths: _Paths, now: Ints) -> None:
        self._paths = paths
        self._now = now
        """(n,) vertices that are left, border by border, ends included."""
        self._levels = np.take(paths.known, now, axis=1)
        """(2, n) of the displacement if one or two vertices are taken out from here on; ``_NEVER``
        where that is not possible."""

    def take_all(self) -> None:
        """Take out what can be taken, round by round."""
        while len(self._now):
            self._rate()
            self._leave_what_is_done()
            self._take()

    def _rate(self) -> None:
        """Find out the levels that are not known."""
        now, paths = self._now, self._paths
        for count, (levels, known) in enumerate(zip(self._levels, paths.known, strict=True), 1):
            unknown = at = np.flatnonzero(levels == _UNKNOWN)
            levels[unknown] = _NEVER
            for step in range(count):  # behind an inner vertex there is another
                at = at[paths.inner[now[at + step]]]
            at = at[paths.number[now[at - 1]] != paths.number[now[at + count]]]
            levels[at] = paths.levels(now[at - 1], now[at + count])
            known[now[unknown]] = levels[unknown]

    def _leave_what_is_done(self) -> None:
        """Forget the borders that have nothing to take out."""
        border = self._paths.border[self._now]
        some = np.minimum(*self._levels) < _NEVER
        waits = np.zeros(len(self._paths.budget), dtype=bool)
        waits[border[some]] = True
        left = np.flatnonzero(waits[border])
        if len(left) < len(border):
            self._now, self._levels = self._now[left], np.take(self._levels, left, axis=1)

    def _take(self) -> None:
        """Take out what is best in its reach."""
        at, count, order = self._best()
        if not len(at):
            return
        net = self._net(at, count)
        good = self._is_balanced(at, net, order)
        good[good] = free = self._is_free(at[good], count[good])
        if not free.all():
            good[good] = self._is_balanced(at[good], net[good], order[good])
        self._levels[count[~good] - 1, at[~good]] = _NEVER
        at, count = at[good], count[good]
        np.add.at(self._paths.balance, self._paths.border[self._now[at]], net[good])
        gone = ragged(at, count)
        self._paths.kept[self._now[gone]] = False
        # What began or ended beside them is another removal now.
        for back in range(1, _MOST + 1):
            before = at - back
            self._levels[back - 1 :, before[before >= 0]] = _UNKNOWN
        self._levels[:, at + count] = _UNKNOWN
        stays = np.ones(len(self._now), dtype=bool)
        stays[gone] = False
        left = np.flatnonzero(stays)
        self._now, self._levels = self._now[left], np.take(self._levels, left, axis=1)

    def _best(self) -> tuple[Ints, Ints, Ints]:
        """Removals that are better than any other in reach.

        Returns:
            Where, of how many vertices, and numbers that put them in their order.
        """
        level = np.minimum(*self._levels)
        order = level.astype(np.int64) << _CHANCE_BITS | self._paths.chance[self._now]
        best = level < _NEVER
        # Two borders have two ends between their inner vertices: none is in the other's reach.
        for step in range(1, _MOST + 1):
            less = order[step:] < order[:-step]
            best[:-step] &= ~less
            best[step:] &= less
        at = np.flatnonzero(best)
        return at, 1 + (self._levels[1, at] < self._levels[0, at]), order[at]

    def _is_free(self, at: Ints, count: Ints) -> Bools:
        """Whether the triangles of removals are free; of several vertices, the first goes first."""
        now = self._now
        free = np.ones(len(at), dtype=bool)
        for step in range(_MOST):
            more = np.flatnonzero(free & (count > step))
            middle = at[more] + step
            free[more] = self._paths.is_free(now[at[more] - 1], now[middle], now[middle + 1])
        return free

    def _is_balanced(self, at: Ints, net: Ints, order: Ints) -> Bools:
        """Which removals may go, so that each border stays within its budget.

        They are asked in their order, and those that take from one side of their border go as long
        as others, that give to it, make up for them.
        """
        paths = self._paths
        border = paths.border[self._now[at]]
        good: Bools = net == 0
        # Most borders need no order: all that is asked of them goes at once, or nothing.
        asked = np.flatnonzero(~good)
        begins, sizes = _groups(border[asked])
        owner = border[asked[begins]]
        room = paths.budget[owner] - paths.balance[owner]
        other_room = paths.budget[owner] + paths.balance[owner]
        taken, given = (_sums(np.maximum(way * net[asked], 0), begins) for way in (1, -1))
        all_go = (taken <= room + given) & (given <= other_room + taken)
        good[asked[np.repeat(all_go, sizes)]] = True
        none_goes = (sizes == 1) | (room + given == 0) | (other_room + taken == 0)
        some = ~all_go & ~none_goes
        asked = asked[np.repeat(some, sizes)]
        asked = asked[np.lexsort((order[asked], border[asked]))]
        good[asked] = _in_order(net[asked], sizes[some], room[some], other_room[some])
        return good

    def _net(self, at: Ints, count: Ints) -> Ints:
        """Twice the pixels that one side loses by removals; what the other wins."""
        now, cross = self._now, self._paths.cross
        before, first, last, behind = now[at - 1], now[at], now[at + count - 1], now[at + count]
        way = cross(before, first) + cross(first, last) + cross(last, behind)
        return np.asarray(way + cross(behind, before))


def _in_order(net: Ints, sizes: Ints, room: Ints, other_room: Ints) -> Bools:
    """Which of the removals of some borders may go, each border's in their order.

    Args:
        net: what each takes from one side, or gives to it if negative; never 0.
        sizes: number of removals of each border.
        room: what may be taken from each border's side.
        other_room: what may be given to it.
    """
    begins = np.cumsum(sizes) - sizes
    taken, given = np.maximum(net, 0), np.maximum(-net, 0)
    all_taken, all_given = _running(taken, begins, sizes), _running(given, begins, sizes)
    back = _sums(given, begins)
    while True:
        takes = all_taken <= np.repeat(room + back, sizes)
        there = _sums(taken * takes, begins)
        gives = all_given <= np.repeat(other_room + there, sizes)
        before, back = back, _sums(given * gives, begins)
        if np.array_equal(before, back):
            return np.where(net > 0, takes, gives)


def _scattered(numbers: Ints) -> Ints:
    """Other numbers of 48 bits, each where chance may have thrown it; this is SplitMix64."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ z >> np.uint64(31)) >> np.uint64(64 - _CHANCE_BITS)).view(np.int64)


def _groups(keys: Ints) -> tuple[Ints, Ints]:
    """Where runs of equal numbers begin, and how long they are."""
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return begins, np.diff(np.append(begins, len(keys)))


def _sums(values: Ints, begins: Ints) -> Ints:
    """Sums of groups that begin at the given places."""
    return np.asarray(np.add.reduceat(values, begins)) if len(begins) else values[:0]


def _running(values: Ints, begins: Ints, sizes: Ints) -> Ints:
    """Sums from each group's begin on."""
    total = np.cumsum(values)
    return np.asarray(total - np.repeat(total[begins] - values[begins], sizes))
