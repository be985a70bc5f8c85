"""Rings: the exact outlines of the 4-connected regions of a class map, traced band by band.

A region's outline runs along pixel edges and turns at pixel corners. Whether it turns at a corner,
and whereto, depends on the four pixels around that corner alone; so a band of rows finds its
corners by itself, and only their order along a ring has to be put together across bands:

1. Every vertex of the pixel lattice gets a code of eight bits: which of its four pixels are equal,
   and which hold data. Tables over the 256 codes say in which of four directions a stretch of
   outline starts there, in which one ends there, and how the outline goes on.
2. Along one line of the lattice, stretches in one direction never overlap: the k-th end belongs to
   the k-th start. That gives each stretch the one that follows it, and chains of stretches are put
   in order. A chain that crosses the band's lower edge waits for the next band.
3. A region is finished when the band's last row has none of it. Its chains are then joined into
   rings, all at once: every chain is touched once, however many bands a region crosses.

Where two pixels of one class touch only diagonally, their outlines are kept apart if they belong to
different regions. If it is one region that touches itself, they are led crosswise, so that no ring
passes a vertex twice and every polygon is valid: its holes may touch its shell at a point. Whether
the two are one region is sometimes known only bands later: such crossings are remembered.

Memory is that of a band and of the unfinished regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.output.chains import components, order_chains, ragged
from geocamss.output.runs import Runs

__all__ = ["Measure", "Regions", "Tracer"]

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

EAST, NORTH, WEST, SOUTH = range(4)

# A vertex and its pixels:  a | b
#                           --v--
#                           c | d
# Bits of its code; those of the lower two pixels are those of the upper two, moved by three.
_AB, _HAS_A, _HAS_B = 1, 2, 4
_CD, _HAS_C, _HAS_D = 8, 16, 32
_AC, _BD = 64, 128
_LOWER = 3


Measure = Callable[[Runs], Ints]
"""Gives (k, n) integers for n runs; a region's are the sums over its runs."""


@dataclass(frozen=True)
class Regions:
    """Finished regions, in the order of their last pixels (row by row, left to right)."""

    values: Bytes
    """(n,) class value."""

    pixels: Ints
    """(n,) number of pixels."""

    measures: Ints
    """(k, n) sums of what was measured on the runs."""

    rows: Ints
    """(v,) vertices of all rings: line of the pixel lattice, 0 = the map's upper edge."""

    columns: Ints
    """(v,) likewise, 0 = the map's left edge."""

    rings: Ints
    """(r + 1,) ring k has the vertices ``rings[k]`` to ``rings[k + 1]``.

    A ring starts at its uppermost, then leftmost vertex, and ends there again. With rows counted
    downward on the screen, shells go counterclockwise and holes clockwise.
    """

    polygons: Ints
    """(n + 1,) region k has the rings ``polygons[k]`` to ``polygons[k + 1]``, its shell first."""

    def __len__(self) -> int:
        return len(self.values)


class _Tables(NamedTuple):
    """What the code of a vertex means: (4, 256) by direction, or (256,)."""

    starts: Bools
    """A stretch in this direction starts here."""

    ends: Bools
    """A stretch in this direction ends here."""

    turn: NDArray[np.int32]
    """The direction in which the outline goes on that came in this one."""

    corner: Bools
    """Any stretch starts or ends here."""

    crossing: Bools
    """Each of the four pixels differs from both of its neighbors."""


def _tables(*, shared_vertices: bool) -> _Tables:
    """Work out all 256 codes. Outlines keep their region on their left."""
    code = np.arange(256)
    ab, cd, ac, bd = ((code & bit) > 0 for bit in (_AB, _CD, _AC, _BD))
    a, b, c, d = ((code & bit) > 0 for bit in (_HAS_A, _HAS_B, _HAS_C, _HAS_D))
    # By direction: an outline arrives, one leaves, the region goes on ahead, what lies across the
    # edge goes on ahead, where to turn if the region goes on ahead, and where to if not.
    cases = {
        EAST: (~ac & a, ~bd & b, ab, cd, SOUTH, NORTH),
        NORTH: (~cd & c, ~ab & a, ac, bd, EAST, WEST),
        WEST: (~bd & d, ~ac & c, cd, ab, NORTH, SOUTH),
        SOUTH: (~ab & b, ~cd & d, bd, ac, WEST, EAST),
    }
    starts = np.zeros((4, 256), dtype=bool)
    ends = np.zeros((4, 256), dtype=bool)
    turn = np.zeros((4, 256), dtype=np.int32)
    for direction, (arrives, leaves, ahead, across, right, left) in cases.items():
        straight = arrives & leaves & ahead
        passes = straight & across if shared_vertices else straight
        starts[direction] = leaves & ~passes
        ends[direction] = arrives & ~passes
        turn[direction] = np.where(straight, direction, np.where(ahead, right, left))
    corner = np.asarray((starts | ends).any(axis=0))
    return _Tables(starts, ends, turn, corner, np.logical_not(ab | cd | ac | bd))


class _Band:
    """A few rows, with the last row of the band before as their first."""

    def __init__(self, pixels: Bytes) -> None:
        self.pixels = pixels
        framed = np.pad(pixels, ((0, 0), (1, 1)), constant_values=NODATA)
        self.beside = framed[:, :-1] == framed[:, 1:]
        """(rows, width + 1) True = the pixels left and right of an edge are equal."""
        self.below = framed[:-1] == framed[1:]
        """(rows - 1, width + 2) True = the pixels above and below an edge are equal."""
        self.has_data = framed != NODATA
        first = ~self.beside[:, :-1]
        first[:, 0] = True
        self.run_starts = np.flatnonzero(first)
        """(n,) pixel at which each run starts."""
        self.run_at = np.cumsum(first, dtype=np.int32) - 1
        """(pixels,) run of each pixel."""
        touching = self.below[:, 1:-1] & (first[1:] | first[:-1])
        self.touches = np.flatnonzero(touching)
        """Pixels whose run touches an equal run below, once for each two runs at least."""
        self.carried = int(self.run_at[pixels.shape[1] - 1]) + 1
        """Number of runs in the first row."""

    def codes(self) -> Bytes:
        """Codes of the vertices, (rows + 1, width + 1).

        The first line lies above the band and the last below it. They have no outline along them:
        there, stretches that cross the band's edge are cut.
        """
        upper = self.beside * np.uint8(_AB)
        upper |= self.has_data[:, :-1] * np.uint8(_HAS_A)
        upper |= self.has_data[:, 1:] * np.uint8(_HAS_B)
        codes = np.empty((len(upper) + 1, upper.shape[1]), dtype=np.uint8)
        codes[1:] = upper
        codes[0] = _AB | _AC | _BD
        codes[1:-1] |= self.below[:, :-1] * np.uint8(_AC)
        codes[1:-1] |= self.below[:, 1:] * np.uint8(_BD)
        codes[-1] |= _CD | _AC | _BD
        codes[:-1] |= upper << np.uint8(_LOWER)
        return codes


class _Stretches:
    """The straight stretches of outline in a band; number = 4 * corner + direction."""

    def __init__(self, band: _Band, tables: _Tables) -> None:
        codes = band.codes()
        lines, self._columns = codes.shape
        self.corners = np.flatnonzero(tables.corner[codes])
        """(n,) vertices of the band at which something starts or ends, in reading order."""
        self.top = int(np.searchsorted(self.corners, self._columns))
        """The first ``top`` corners lie above the band."""
        self.bottom = int(np.searchsorted(self.corners, (lines - 1) * self._columns))
        """Corners from ``bottom`` on lie below it."""
        self.code = codes.ravel()[self.corners]
        count = 4 * len(self.corners)
        self.following = np.full(count, -1, dtype=np.int32)
        """The stretch after each, -1 where the band is left."""
        self.exists = np.zeros(count, dtype=bool)
        self.arriving = np.full(count, -1, dtype=np.int32)
        """The stretch that ends at a corner, at 4 * corner + direction."""

        by_row = np.arange(len(self.corners), dtype=np.int32)
        by_column = self._by_column(codes.shape)
        for direction in (EAST, NORTH, WEST, SOUTH):
            reading = by_row if direction in (EAST, WEST) else by_column
            code = self.code[reading]
            start = 4 * reading[tables.starts[direction][code]] + direction
            end = reading[tables.ends[direction][code]]
            self.exists[start] = True
            self.following[start] = 4 * end + tables.turn[direction][self.code[end]]
            self.arriving[4 * end + direction] = start
        self.following[self.leave_top] = -1
        self.following[self.leave_bottom] = -1

    def _by_column(self, shape: tuple[int, int]) -> NDArray[np.int32]:
        """Corners in the order of columns, then lines."""
        at = np.zeros(shape[0] * shape[1], dtype=np.int32)
        at[self.corners] = np.arange(1, len(self.corners) + 1, dtype=np.int32)
        turned = np.ascontiguousarray(at.reshape(shape).T).ravel()
        return turned[turned > 0] - 1

    @property
    def enter_top(self) -> Ints:
        """Stretches that come in from above, by column."""
        return self._existing(np.arange(self.top) * 4 + SOUTH)

    @property
    def enter_bottom(self) -> Ints:
        """Stretches that come in from below, by column."""
        return self._existing(np.arange(self.bottom, len(self.corners)) * 4 + NORTH)

    @property
    def leave_top(self) -> Ints:
        """Stretches that go out above, by column."""
        return _known(self.arriving[np.arange(self.top) * 4 + NORTH])

    @property
    def leave_bottom(self) -> Ints:
        """Stretches that go out below, by column."""
        return _known(self.arriving[np.arange(self.bottom, len(self.corners)) * 4 + SOUTH])

    def _existing(self, stretches: Ints) -> Ints:
        return stretches[self.exists[stretches]]

    def pixel(self, corner: Ints, direction: Ints) -> Ints:
        """The pixel to the left of what leaves a corner in a direction."""
        line, column = np.divmod(self.corners[corner], self._columns)
        row = line - np.array([1, 1, 0, 0])[direction]
        column = column - np.array([0, 1, 1, 0])[direction]
        return np.asarray(row * (self._columns - 1) + column, dtype=np.int64)

    def crossings(self, crossing: Bools, region_at: Callable[[Ints], Ints]) -> tuple[Ints, Ints]:
        """Find where two pixels of one class touch only diagonally.

        Args:
            crossing: the table of that name.
            region_at: gives the regions of pixels.

        Returns:
            (2, k) stretches that end there, and the regions that each of them bounds.
        """
        corners = np.flatnonzero(crossing[self.code])
        pairs, regions = [], []
        # a and d lie to the left of what leaves northward and southward, and came in from the
        # west and from the east; b and c likewise.
        for one, other, comes_one, comes_other in (
            (NORTH, SOUTH, EAST, WEST),
            (EAST, WEST, SOUTH, NORTH),
        ):
            pair = np.stack(
                (self.arriving[4 * corners + comes_one], self.arriving[4 * corners + comes_other])
            )
            both = (pair >= 0).all(axis=0)
            where = corners[both]
            pairs.append(pair[:, both])
            regions.append(
                np.stack(
                    [
                        region_at(self.pixel(where, np.full(len(where), side)))
                        for side in (one, other)
                    ]
                )
            )
        return np.concatenate(pairs, axis=1).astype(np.int64), np.concatenate(regions, axis=1)


def _known(numbers: NDArray[np.int32]) -> Ints:
    return np.asarray(numbers[numbers >= 0], dtype=np.int64)


class _Chains(NamedTuple):
    """Chains that wait for their regions to be finished."""

    vertices: Ints
    """(v,) line * (width + 1) + column, chain by chain."""

    lengths: Ints
    """(m,) vertices of each chain; may be none."""

    follows: Ints
    """(m,) the chain after each; -1 where it goes on in the next band."""

    region: Ints
    """(m,) the region that it bounds."""


class Tracer:
    """Takes the rows of a class map from top to bottom; gives its regions as they are finished."""

    def __init__(
        self,
        width: int,
        *,
        measures: int = 0,
        shared_vertices: bool = False,
        hold: int = 1 << 20,
    ) -> None:
        """Start above the first row.

        Args:
            width: of the map, in pixels.
            measures: how many numbers ``Measure`` gives for a run.
            shared_vertices: also put a vertex where other outlines meet a region's straight edge,
                so that neighbors have all vertices of their common border in common.
            hold: vertices that are gathered before finished regions are looked for; changes speed
                and memory, never the regions or their order.
        """
        self._width = width
        self._tables = _tables(shared_vertices=shared_vertices)
        self._hold = hold
        self._limit = hold
        self._line = 0
        self._row = np.full(width, NODATA, dtype=np.uint8)
        # Regions, by number; the first one is the nodata around the map.
        self._parent = np.zeros(1, dtype=np.int64)
        self._values = np.full(1, NODATA, dtype=np.uint8)
        self._sums = np.zeros((1 + measures, 1), dtype=np.int64)
        self._last = np.full(1, -1, dtype=np.int64)
        self._front = np.zeros(1, dtype=np.int64)  # region of each run of the last row
        # Chains, by number, band by band.
        self._chains: list[_Chains] = []
        self._count = 0
        self._size = 0
        self._links: list[tuple[Ints, Ints]] = []  # chains, and those that follow across bands
        self._leaving = np.zeros(0, dtype=np.int64)  # go down across the last row's lower edge
        self._entering = np.zeros(0, dtype=np.int64)  # come up across it
        self._crossings = np.zeros((2, 0), dtype=np.int64)  # chains that end where regions may meet

    def feed(self, classes: Bytes, measure: Measure | None = None) -> Regions | None:
        """Take the next rows, (h, width) uint8, and give finished regions now and then."""
        if classes.ndim != 2 or classes.shape[1] != self._width or not len(classes):
            raise ValueError(f"rows must be (h, {self._width}) with h > 0, got {classes.shape}")
        self._add(np.concatenate((self._row[None], classes)), measure)
        return self._finished() if self._size > self._limit else None

    def finish(self) -> Regions:
        """Give the regions that are left, after the last row."""
        self._add(np.stack((self._row, np.full_like(self._row, NODATA))), None)
        return self._finished()

    def _add(self, pixels: Bytes, measure: Measure | None) -> None:
        band = _Band(pixels)
        region = self._add_regions(band, measure)
        self._add_chains(band, region)
        self._line += len(pixels) - 1
        self._row = pixels[-1].copy()

    def _add_regions(self, band: _Band, measure: Measure | None) -> Ints:
        """Number the band's regions; give that of each run."""
        runs, carried = len(band.run_starts), band.carried
        before, index = np.unique(self._front, return_inverse=True)
        label = components(
            runs + len(before),
            np.concatenate((band.run_at[band.touches], np.arange(carried))),
            np.concatenate((band.run_at[band.touches + self._width], runs + index)),
        )
        count = int(label.max()) + 1
        base = len(self._parent)
        of_run, of_before = label[:runs], label[runs:]
        new = of_run[carried:]

        values = np.empty(count, dtype=np.uint8)
        values[of_run] = band.pixels.ravel()[band.run_starts]
        last = np.full(count, -1, dtype=np.int64)
        np.maximum.at(last, of_before, self._last[before])
        ends = np.append(band.run_starts[1:], band.pixels.size)[carried:]
        last[new] = ends - 1 + (self._line - 1) * self._width  # the last one written stays
        sums = np.zeros((len(self._sums), count), dtype=np.int64)
        measured = self._measure(band, ends, measure)
        for total, add, carry in zip(sums, measured, self._sums[:, before], strict=True):
            np.add.at(total, new, add)
            np.add.at(total, of_before, carry)

        self._parent = np.append(self._parent, base + np.arange(count))
        self._parent[before] = base + of_before
        self._values = np.append(self._values, values)
        self._last = np.append(self._last, last)
        self._sums = np.append(self._sums, sums, axis=1)
        self._front = base + of_run[band.run_at[-self._width] :]
        return base + of_run

    def _measure(self, band: _Band, ends: Ints, measure: Measure | None) -> Ints:
        """Number of pixels and measures of the band's new runs, (1 + k, n)."""
        starts = band.run_starts[band.carried :]
        lengths = (ends - starts)[None]
        if measure is None:
            nothing = np.zeros((len(self._sums) - 1, len(starts)), dtype=np.int64)
            return np.concatenate((lengths, nothing))
        row, start = np.divmod(starts, self._width)
        runs = Runs(row - 1 + self._line, start, start + lengths[0], band.pixels.ravel()[starts])
        return np.concatenate((lengths, measure(runs)))

    def _add_chains(self, band: _Band, region: Ints) -> None:
        """Put the band's outlines in order and hang them onto those of the bands before."""
        stretches = _Stretches(band, self._tables)
        ending, bounded = stretches.crossings(
            self._tables.crossing, lambda pixels: region[band.run_at[pixels]]
        )
        one_region = bounded[0] == bounded[1]
        _swap(stretches.following, ending[:, one_region])
        open_still = np.isin(bounded, self._front).all(axis=0) & ~one_region
        ending = ending[:, open_still]
        after = stretches.following[ending]
        stretches.following[ending] = -1

        numbers = np.flatnonzero(stretches.exists)
        compact = np.full(len(stretches.exists) + 1, -1, dtype=np.int32)
        compact[numbers] = np.arange(len(numbers), dtype=np.int32)
        chains = order_chains(compact[stretches.following[numbers]])
        chain_of = np.empty(len(stretches.exists), dtype=np.int64)
        sizes = np.diff(chains.offsets)
        chain_of[numbers[chains.nodes]] = np.repeat(self._count + np.arange(len(sizes)), sizes)

        corner = numbers[chains.nodes] >> 2
        inside = (corner >= stretches.top) & (corner < stretches.bottom)
        vertices = stretches.corners[corner[inside]] + (self._line - 1) * (self._width + 1)
        lengths = np.diff(np.concatenate(([0], np.cumsum(inside)))[chains.offsets])
        heads = numbers[chains.nodes[chains.offsets[:-1]]]
        follows = np.where(chains.closed, self._count + np.arange(len(sizes)), -1)
        pixel = stretches.pixel(heads >> 2, heads & 3)
        self._chains.append(_Chains(vertices, lengths, follows, region[band.run_at[pixel]]))
        self._links += [
            (chain_of[ending].ravel(), chain_of[after].ravel()),
            (self._leaving, chain_of[stretches.enter_top]),
            (chain_of[stretches.leave_top], self._entering),
        ]
        self._leaving = chain_of[stretches.leave_bottom]
        self._entering = chain_of[stretches.enter_bottom]
        self._crossings = np.append(self._crossings, chain_of[ending], axis=1)
        self._count += len(sizes)
        self._size += len(vertices) + len(sizes)

    def _finished(self) -> Regions:
        """Take out what belongs to finished regions, and number the rest anew."""
        root = _roots(self._parent)
        alive = np.zeros(len(root), dtype=bool)
        alive[root[self._front]] = True
        chains = self._gather(root)
        crossings = self._crossings
        bounded = chains.region[crossings]
        one_region = bounded[0] == bounded[1]
        _swap(chains.follows, crossings[:, one_region])
        crossings = crossings[:, ~one_region & alive[bounded].all(axis=0)]

        waits = alive[chains.region]
        done = np.flatnonzero((root == np.arange(len(root))) & ~alive & (self._values != NODATA))
        done = done[np.argsort(self._last[done])]
        rank = np.empty(len(root), dtype=np.int64)
        rank[done] = np.arange(len(done))
        finished = _select(chains, ~waits)
        rings = _join(finished, rank[finished.region], len(done), self._width + 1)
        regions = Regions(self._values[done], self._sums[0, done], self._sums[1:, done], *rings)

        self._keep_chains(chains, waits, crossings)
        self._keep_regions(root, alive)
        return regions

    def _gather(self, root: Ints) -> _Chains:
        """All chains that wait, linked across bands, with the roots of their regions."""
        vertices, lengths, follows, region = (
            np.concatenate(parts) for parts in zip(*self._chains, strict=True)
        )
        for chains, after in self._links:
            follows[chains] = after
        return _Chains(vertices, lengths, follows, root[region])

    def _keep_chains(self, chains: _Chains, waits: Bools, crossings: Ints) -> None:
        number = np.cumsum(waits) - 1
        self._chains = [_select(chains, waits)]
        self._count = int(waits.sum())
        self._size = len(self._chains[0].vertices) + self._count
        self._limit = self._hold + self._size  # so that what waits is looked at rarely
        self._links = []
        self._leaving = number[self._leaving]
        self._entering = number[self._entering]
        self._crossings = number[crossings]

    def _keep_regions(self, root: Ints, alive: Bools) -> None:
        kept = np.flatnonzero(alive)
        number = np.empty(len(root), dtype=np.int64)
        number[kept] = np.arange(len(kept))
        self._parent = np.arange(len(kept))
        self._values, self._last = self._values[kept], self._last[kept]
        self._sums = self._sums[:, kept]
        self._front = number[root[self._front]]
        rest = self._chains[0]
        self._chains = [rest._replace(region=number[rest.region])]


def _swap(following: NDArray[np.int32] | Ints, pairs: Ints) -> None:
    """Let what follows the one follow the other, for each pair."""
    following[pairs] = following[pairs[::-1]]


def _roots(parent: Ints) -> Ints:
    """Follow the parents of all regions to their ends."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further


def _select(chains: _Chains, chosen: Bools) -> _Chains:
    """Some of the chains, whose followers must be among them, or not be known yet."""
    number = np.append(np.cumsum(chosen) - 1, -1)
    vertices = chains.vertices[np.repeat(chosen, chains.lengths)]
    return _Chains(
        vertices,
        chains.lengths[chosen],
        number[chains.follows[chosen]],
        chains.region[chosen],
    )


def _join(chains: _Chains, rank: Ints, count: int, columns: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Join chains into rings, and order these.

    Args:
        chains: of finished regions.
        rank: (m,) position of each chain's region among them.
        count: number of regions.
        columns: vertices of a line of the pixel lattice.

    Returns:
        ``rows``, ``columns``, ``rings`` and ``polygons`` of ``Regions``.
    """
    joined = order_chains(chains.follows)
    if not joined.closed.all():
        raise AssertionError("an outline of a finished region is not closed")
    begins = np.cumsum(chains.lengths) - chains.lengths
    vertices = chains.vertices[ragged(begins[joined.nodes], chains.lengths[joined.nodes])]
    bounds = np.concatenate(([0], np.cumsum(chains.lengths[joined.nodes])))[joined.offsets]
    begin, length = bounds[:-1], np.diff(bounds)
    rank = rank[joined.nodes[joined.offsets[:-1]]]
    if len(begin) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(1, dtype=np.int64), np.zeros(count + 1, dtype=np.int64)

    # The uppermost, then leftmost vertex has the lowest number. From there a shell goes down, and
    # a hole to the right.
    lowest = np.minimum.reduceat(vertices, begin)
    shift = np.flatnonzero(vertices == np.repeat(lowest, length)) - begin
    second = vertices[begin + (shift + 1) % length]
    hole = (second - lowest) % columns != 0
    order = np.lexsort((lowest, hole, rank))
    begin, length, shift = begin[order], length[order], shift[order]

    rings = np.concatenate(([0], np.cumsum(length + 1)))
    step = np.arange(rings[-1]) + np.repeat(shift - rings[:-1], length + 1)
    around = np.repeat(length, length + 1)
    step -= np.where(step >= around, around, 0)
    vertices = vertices[step + np.repeat(begin, length + 1)]
    rows, cols = np.divmod(vertices, columns)
    polygons = np.concatenate(([0], np.cumsum(np.bincount(rank, minlength=count))))
    return rows, cols, rings, polygons
