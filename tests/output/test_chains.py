"""Chains of nodes, against walking them one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geocamss.output.chains import components, order_chains, ragged


@st.composite
def links(draw) -> np.ndarray:
    """Paths and rings: a permutation with some links taken out."""
    count = draw(st.integers(0, 30))
    following = np.array(draw(st.permutations(range(count))), dtype=np.int64)
    ends = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    following[np.array(ends, dtype=bool)] = -1
    return following


@given(links())
def test_each_node_stands_before_the_one_that_follows_it(following):
    chains = order_chains(following)
    assert sorted(chains.nodes) == list(range(len(following)))
    bounds = zip(chains.offsets[:-1], chains.offsets[1:], chains.closed, strict=True)
    for begin, end, closed in bounds:
        chain = chains.nodes[begin:end]
        assert np.array_equal(following[chain[:-1]], chain[1:])
        assert following[chain[-1]] == (chain[0] if closed else -1)


def test_ragged_slices_follow_one_another():
    starts, lengths = np.array([5, 0, 7]), np.array([2, 0, 3])
    assert ragged(starts, lengths).tolist() == [5, 6, 7, 8, 9]
    assert ragged(starts[:0], lengths[:0]).tolist() == []


@given(st.integers(1, 20), st.data())
def test_components_are_numbered_in_the_order_of_their_lowest_nodes(count, data):
    node = st.integers(0, count - 1)
    edges = np.array(data.draw(st.lists(st.tuples(node, node), max_size=20)), dtype=np.int64)
    edges = edges.reshape(-1, 2)
    labels = components(count, edges[:, 0], edges[:, 1])
    assert np.array_equal(labels[edges[:, 0]], labels[edges[:, 1]])
    lowest = [int(np.flatnonzero(labels == k)[0]) for k in range(labels.max() + 1)]
    assert lowest == sorted(lowest)


def test_components_are_numbered_without_gaps():
    labels = components(5, np.array([0, 3]), np.array([4, 2]))
    assert labels.tolist() == [0, 1, 2, 2, 0]
