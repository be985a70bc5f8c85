"""Finished blocks on disk: whole, or not there."""

from __future__ import annotations

import numpy as np
import pytest

from geocamss.output.blocks import BlockMap, BlockStore
from geocamss.scene.tiles import Lattice, Layout

BLOCK = Layout(Lattice(64, 16), (0, 0), (40, 40), (4, 4)).block(0, 0)


@pytest.fixture
def store(tmp_path):
    """A block in a store."""
    rng = np.random.default_rng(0)
    classes, confidence = rng.integers(0, 4, (2, 3, 5)).astype(np.uint8)
    seams = tuple(np.zeros((2, 1, 1), np.int16) for _ in range(4))
    store = BlockStore(tmp_path)
    store.save(BLOCK, BlockMap(classes, confidence, seams))
    return store


def test_a_flipped_bit_changes_no_map(store):
    """It is of no matter, or the block is not there; nothing else ever comes of it."""
    path = store.path(BLOCK)
    whole, wanted = path.read_bytes(), store.load(BLOCK)
    rng = np.random.default_rng(1)
    lost = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        if not store.has(BLOCK):
            lost += 1
            continue
        found = store.load(BLOCK)
        np.testing.assert_array_equal(found.classes, wanted.classes)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert lost > len(whole) / 2


@pytest.mark.parametrize("name", ["classes", "confidence", "top", "bottom", "left", "right"])
def test_a_block_without_one_of_its_parts_is_none(store, name):
    with np.load(store.path(BLOCK)) as arrays:
        parts = {key: arrays[key] for key in arrays.files if key != name}
    assert store.has(BLOCK)
    np.savez(store.path(BLOCK), **parts)
    assert not store.has(BLOCK)
