"""Borders: the stretches of outline that two neighbors share, each once.

A border runs from one node, where three or more edges meet, to the next; a ring without any is a
border by itself, from its uppermost, then leftmost corner back to it. Both neighbors find the same
border, with the same vertices in the same order, whatever else they are given with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geocamss.output.chains import ragged
from geocamss.output.corners import NODE, Corners

__all__ = ["Borders", "split_rings"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Borders:
    """The borders of some rings, each once."""

    rows: Ints
    """(v,) lines of the pixel lattice: all borders, one after the other, both ends included."""

    columns: Ints
    """(v,) likewise."""

    offsets: Ints
    """(m + 1,) border k has the vertices ``offsets[k]`` to ``offsets[k + 1]``."""

    places: Ints
    """(u,) for each vertex of the rings, where it stands in ``rows``."""

    def __len__(self) -> int:
        return len(self.offsets) - 1


def split_rings(rows: Ints, columns: Ints, rings: Ints, corners: Corners) -> Borders:
    """Split rings at nodes.

    Args:
        rows: (v,) lines of the vertices; neighbors have all vertices of their border in common.
        columns: (v,) likewise.
        rings: (r + 1,) offsets; a ring starts at its uppermost, then leftmost vertex, and ends
            there again.
        corners: which vertices are nodes.
    """
    lengths = np.diff(rings) - 1
    first = np.cumsum(lengths) - lengths
    ring = np.repeat(np.arange(len(lengths)), lengths)
    open_rings = ragged(rings[:-1], lengths)
    row, column = rows[open_rings], columns[open_rings]
    node = corners.at(row, column) == NODE
    without = np.bincount(ring, weights=node, minlength=len(lengths)) == 0
    node[first[without]] = True

    begin = np.flatnonzero(node)
    of_ring = ring[begin]
    last = np.append(of_ring[1:] != of_ring[:-1], True)
    end = np.append(begin[1:], 0)
    end[last] = begin[np.flatnonzero(np.append(True, last[:-1]))] + lengths[of_ring[last]]
    length = end - begin + 1

    def at(border: Ints, step: Ints) -> Ints:
        """Vertex number ``step`` of a border."""
        place = begin[border] + step
        beyond = place >= first[of_ring[border]] + lengths[of_ring[border]]
        return np.asarray(place - beyond * lengths[of_ring[border]])

    number = row * corners.columns + column
    every = np.arange(len(begin))
    ends = [at(every, step) for step in (every * 0, every * 0 + 1, length - 2, length - 1)]
    head, second, before, tail = (number[end_] for end_ in ends)
    turned = (head > tail) | ((head == tail) & (second > before))
    key = _leaving(np.where(turned, tail, head), np.where(turned, before, second), corners.columns)
    _, chosen, same = np.unique(key, return_index=True, return_inverse=True)

    offsets = np.concatenate(([0], np.cumsum(length[chosen])))
    border = np.repeat(chosen, length[chosen])
    step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length[chosen])
    vertex = at(border, np.where(turned[border], length[border] - 1 - step, step))

    inner = np.repeat(every, length - 1)
    step = np.arange(len(inner)) - np.repeat(np.cumsum(length - 1) - (length - 1), length - 1)
    places = np.empty(len(row), dtype=np.int64)
    along = np.where(turned[inner], length[inner] - 1 - step, step)
    places[at(inner, step)] = offsets[same[inner]] + along
    return Borders(row[vertex], column[vertex], offsets, places)


def _leaving(head: Ints, second: Ints, columns: int) -> Ints:
    """A number for a node and the direction in which a border leaves it."""
    step = second - head
    vertical = np.abs(step) >= columns
    return np.asarray(4 * head + 2 * vertical + (step > 0))
