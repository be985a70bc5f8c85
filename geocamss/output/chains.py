"""Chains: nodes that each name the next one, put in order. Pure integers, no geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

__all__ = ["Chains", "components", "order_chains", "ragged", "slices"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Chains:
    """Paths and rings of nodes, one after the other."""

    nodes: Ints
    """(n,) all nodes, chain by chain, each chain from its head to its tail."""

    offsets: Ints
    """(m + 1,) chain k is ``nodes[offsets[k]:offsets[k + 1]]``."""

    closed: NDArray[np.bool_]
    """(m,) True = a ring: its tail names its head as the next."""


def order_chains(following: NDArray[np.signedinteger]) -> Chains:
    """Put linked nodes in order, in time proportional to their number.

    Args:
        following: (n,) the node after each, -1 at the end of a path. No node follows two.
    """
    count = len(following)
    if count == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return Chains(nothing, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=bool))
    linked = following >= 0
    chain = components(count, np.flatnonzero(linked), following[linked])
    chains = int(chain.max()) + 1

    head = np.empty(chains, dtype=np.int64)
    head[chain[::-1]] = np.arange(count - 1, -1, -1)  # of a ring, the lowest node
    followed = np.zeros(count, dtype=bool)
    followed[following[linked]] = True
    first = np.flatnonzero(~followed)
    head[chain[first]] = first
    closed = np.ones(chains, dtype=bool)
    closed[chain[first]] = False

    # One long path through all chains: every tail is led to the next chain's head, and a
    # breadth-first walk along a path visits it in order.
    tails = np.flatnonzero(~linked | (following == head[chain]))
    path = following.copy()
    path[tails] = np.append(head[1:], -1)[chain[tails]]
    steps = path >= 0
    pointers = np.concatenate(([0], np.cumsum(steps)))
    graph = csr_array(
        (np.ones(count - 1, dtype=np.int8), path[steps], pointers), shape=(count, count)
    )
    nodes = breadth_first_order(graph, head[0], directed=True, return_predecessors=False)
    lengths = np.bincount(chain, minlength=chains)
    return Chains(nodes.astype(np.int64), np.concatenate(([0], np.cumsum(lengths))), closed)


def components(count: int, one: Ints, other: Ints) -> Ints:
    """Number the connected components of a graph with edges ``one[k]`` to ``other[k]``.

    Returns:
        (count,) component of each node, from 0 without gaps, in the order of their lowest nodes.
    """
    graph = csr_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(labels, dtype=np.int64)


def ragged(starts: Ints, lengths: Ints) -> Ints:
    """Indices of many slices, ``starts[k]`` to ``starts[k] + lengths[k]``, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)


def slices(sizes: Ints, most: int) -> Iterator[slice]:
    """Slices of things whose sizes add up to ``most``, or of single ones that are larger."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(sizes):
        room = most + (int(ends[first - 1]) if first else 0)
        last = max(int(np.searchsorted(ends, room, side="right")), first + 1)
        yield slice(first, last)
        first = last
