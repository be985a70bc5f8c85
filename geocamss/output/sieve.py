"""Sieve: a class map without regions below a given area.

Each region that is too small takes the class of the neighbor with which it shares the longest
border. What has become one region then is looked at again, until nothing small is left that has a
neighbor at all; islands in nodata that are still too small become nodata. Nodata is no region: its
holes stay, however small. Regions that are large enough keep every pixel.

The map is read twice, band by band. In between, only a graph is held: the regions with their areas,
and the borders between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.output.areas import PixelAreas
from geocamss.output.chains import components
from geocamss.output.classmap import BAND_PIXELS, Band, BandSource
from geocamss.output.runs import Runs, find_runs

__all__ = ["Sieved", "sieve"]

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_HOLD = 1 << 21
"""Borders that are gathered before equal ones are added up."""

_ALL = 2.0**62
"""More units than all pixels of a map have together."""


class Sieved:
    """A class map without small regions, read band by band."""

    def __init__(self, source: BandSource, ground: PixelAreas, min_area: float) -> None:
        """Sieve what ``source`` gives, as ``sieve`` does."""
        self._source = source
        self._ground = ground
        self._min_area = min_area
        self.width = source.width

    def bands(self, pixels: int = BAND_PIXELS) -> Iterator[Band]:
        """Read the map from top to bottom.

        Raises:
            ReadError: pixels cannot be read, or a class value is none.
        """
        return sieve(self._source, self._ground, self._min_area, pixels)


def sieve(
    source: BandSource, ground: PixelAreas, min_area: float, band_pixels: int = BAND_PIXELS
) -> Iterator[Band]:
    """Read a class map without regions of less than ``min_area`` square meters on the ground.

    Raises:
        ReadError: pixels cannot be read, or a class value is none.
    """
    survey = _Survey(source.width)
    for band in source.bands(band_pixels):
        runs = find_runs(band.classes, band.row)
        survey.add(band.classes, runs, ground.of_runs(runs))
    graph, region_of = survey.graph()
    merged = _merge(graph, math.ceil(min(min_area / ground.unit, _ALL)))
    values = merged[region_of]

    numbering = _Numbering(source.width)
    for band in source.bands(band_pixels):
        runs = find_runs(band.classes, band.row)
        number = numbering.add(band.classes, runs)
        kept = np.repeat(values[number], runs.stop - runs.start).reshape(band.classes.shape)
        yield replace(band, classes=kept)


@dataclass(frozen=True)
class _Graph:
    """Regions, in the order of their first pixels, and the borders between them."""

    values: Bytes
    """(n,) class value of each region."""

    areas: Ints
    """(n,) in units."""

    one: Ints
    """(m,) region on one side of a border; the lower number."""

    other: Ints
    """(m,) region on the other side."""

    lengths: Ints
    """(m,) of the border, in pixel edges."""


class _Numbering:
    """Numbers regions while a map is read; read again in the same bands, they are the same.

    A region that grows together from several keeps the lowest of their numbers; ``parent`` tells
    which number each one became.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._row = np.full(width, NODATA, dtype=np.uint8)
        self.at_row = np.zeros(width, dtype=np.int64)
        """Numbers of the regions of the last row, by column."""
        self.count = 1
        self.joined: list[tuple[Ints, Ints]] = []
        """Numbers that turned out to be one region."""

    def add(self, pixels: Bytes, runs: Runs) -> Ints:
        """Number the regions of the next rows; give that of each run."""
        run_at = np.repeat(np.arange(len(runs.row)), runs.stop - runs.start)
        below = run_at[self._width :]
        starts = np.flatnonzero(np.append(True, np.diff(run_at) != 0))
        equal = pixels[1:].ravel() == pixels[:-1].ravel()
        first = np.zeros(pixels.size, dtype=bool)
        first[starts] = True
        once = np.flatnonzero(equal & (first[self._width :] | first[: -self._width]))
        label = components(len(runs.row), run_at[once], below[once])
        number = self.count + label
        touching = np.flatnonzero(pixels[0] == self._row)
        pairs = np.unique(np.stack((self.at_row[touching], number[run_at[touching]])), axis=1)
        self.joined.append((pairs[0], pairs[1]))
        self.count += int(label.max()) + 1
        self._row = pixels[-1]
        self.at_row = number[run_at[-self._width :]]
        return number


class _Survey:
    """Adds up regions and borders while a map is read."""

    def __init__(self, width: int) -> None:
        self._numbering = _Numbering(width)
        self._width = width
        self._row = np.full(width, NODATA, dtype=np.uint8)
        self._values = [np.full(1, NODATA, dtype=np.uint8)]
        self._areas = [np.zeros(1, dtype=np.int64)]
        self._borders: list[tuple[Ints, Ints, Ints]] = []
        self._size = 0

    def add(self, pixels: Bytes, runs: Runs, areas: Ints) -> None:
        """Take the next rows, their runs, and the areas of these."""
        before, above = self._numbering.count, self._numbering.at_row
        number = self._numbering.add(pixels, runs)
        count = self._numbering.count - before
        values = np.empty(count, dtype=np.uint8)
        values[number - before] = runs.values
        sums = np.zeros(count, dtype=np.int64)
        np.add.at(sums, number - before, areas)
        self._values.append(values)
        self._areas.append(sums)

        at = np.repeat(number, runs.stop - runs.start).reshape(pixels.shape)
        framed = np.concatenate((self._row[None], pixels))
        numbers = np.concatenate((above[None], at))
        self._add_borders(framed[1:, :-1], framed[1:, 1:], at[:, :-1], at[:, 1:])
        self._add_borders(framed[:-1], framed[1:], numbers[:-1], numbers[1:])
        self._row = pixels[-1]

    def _add_borders(self, value: Bytes, across: Bytes, number: Ints, beyond: Ints) -> None:
        edge = (value != across) & (value != NODATA) & (across != NODATA)
        borders = _added(number[edge], beyond[edge], np.ones(int(edge.sum()), dtype=np.int64))
        self._borders.append(borders)
        self._size += len(borders[0])
        if self._size > _HOLD:
            one, other, lengths = (
                np.concatenate(parts) for parts in zip(*self._borders, strict=True)
            )
            self._borders = [_added(one, other, lengths)]
            self._size = len(self._borders[0][0]) // 2

    def graph(self) -> tuple[_Graph, Ints]:
        """The regions of the whole map, and the region of each number."""
        one, other = (np.concatenate(parts) for parts in zip(*self._numbering.joined, strict=True))
        region_of = components(self._numbering.count, one, other)
        count = int(region_of.max()) + 1
        values = np.empty(count, dtype=np.uint8)
        values[region_of] = np.concatenate(self._values)
        areas = np.zeros(count, dtype=np.int64)
        np.add.at(areas, region_of, np.concatenate(self._areas))
        one, other, lengths = (np.concatenate(parts) for parts in zip(*self._borders, strict=True))
        return _Graph(values, areas, *_added(region_of[one], region_of[other], lengths)), region_of


def _added(one: Ints, other: Ints, lengths: Ints) -> tuple[Ints, Ints, Ints]:
    """Borders between the same two regions added up, the lower number first."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    new = np.ones(len(low), dtype=bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    first = np.flatnonzero(new)
    sums = np.add.reduceat(lengths[order], first) if len(first) else lengths
    return low[first], high[first], sums


def _merge(graph: _Graph, least: int) -> Bytes:
    """Class values of the regions when none of less than ``least`` units is left; maybe nodata."""
    now = np.arange(len(graph.values))
    while True:
        target = _targets(graph, least)
        if (target == np.arange(len(target))).all():
            # What is small now lies in nodata alone.
            return np.where(graph.areas < least, np.uint8(NODATA), graph.values)[now]
        root = _roots(target)
        values = graph.values[root]
        alike = values[graph.one] == values[graph.other]
        part = components(
            len(root),
            np.concatenate((np.arange(len(root)), graph.one[alike])),
            np.concatenate((root, graph.other[alike])),
        )
        now = part[now]
        graph = _contracted(graph, part, values)


def _targets(graph: _Graph, least: int) -> Ints:
    """The region that each one joins; itself, if it is large enough or has no neighbor."""
    count = len(graph.values)
    small = (graph.areas < least) & (graph.values != NODATA)
    region = np.concatenate((graph.one, graph.other))
    neighbor = np.concatenate((graph.other, graph.one))
    length = np.concatenate((graph.lengths, graph.lengths))
    asks = small[region]
    region, neighbor, length = region[asks], neighbor[asks], length[asks]
    # The longest border; if two are as long, the larger neighbor; then the one that comes first.
    order = np.lexsort((neighbor, -graph.areas[neighbor], -length, region))
    region, neighbor = region[order], neighbor[order]
    best = np.flatnonzero(np.append(True, region[1:] != region[:-1])) if len(region) else region
    target = np.arange(count)
    target[region[best]] = neighbor[best]
    # Two small ones may have chosen each other: the larger stays. Longer rings cannot be, as
    # along one borders would not get shorter, nor, of equal ones, neighbors smaller.
    back = target[target] == np.arange(count)
    stays = (graph.areas > graph.areas[target]) | (
        (graph.areas == graph.areas[target]) & (np.arange(count) < target)
    )
    target[back & stays] = np.flatnonzero(back & stays)
    return target


def _roots(target: Ints) -> Ints:
    while not np.array_equal(target, target[target]):
        target = target[target]
    return target


def _contracted(graph: _Graph, part: Ints, values: Bytes) -> _Graph:
    """The graph of the parts that regions have grown into."""
    count = int(part.max()) + 1
    merged = np.empty(count, dtype=np.uint8)
    merged[part] = values
    areas = np.zeros(count, dtype=np.int64)
    np.add.at(areas, part, graph.areas)
    one, other = part[graph.one], part[graph.other]
    apart = one != other
    return _Graph(merged, areas, *_added(one[apart], other[apart], graph.lengths[apart]))
