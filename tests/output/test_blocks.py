"""Finished blocks on disk: whole, or not there."""

from __future__ import annotations

import numpy as np
import pytest

from geocamss.output.blocks import BlockMap, BlockStore
from geocamss.scene.tiles import Lattice, Layout

LAYOUT = Layout(Lattice(64, 16), (0, 0), (3, 5), (4, 4))
BLOCK = LAYOUT.block(0, 0)


@pytest.fixture
def store(tmp_path):
    """A block in a store."""
    store = BlockStore(tmp_path)
    store.save(BLOCK, block_map())
    return store


def block_map(layout=LAYOUT, planes=2):
    """Any map of a layout's first block."""
    rng = np.random.default_rng(0)
    block = layout.block(0, 0)
    classes, confidence = rng.integers(0, 4, (2, *layout.interior(block).shape)).astype(np.uint8)
    seams = tuple(np.zeros((planes, *seam.shape), np.int16) for seam in layout.seams(block))
    return BlockMap(classes, confidence, seams)


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
        if not store.has(BLOCK, LAYOUT):
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
    assert store.has(BLOCK, LAYOUT)
    np.savez(store.path(BLOCK), **parts)
    assert not store.has(BLOCK, LAYOUT)


@pytest.mark.parametrize("method", [0, 1, 8, 9, 12, 14, 93, 255])
def test_a_block_of_another_compression_is_none(store, method):
    """Each compression has a library, and each library errors of its own."""
    content = store.path(BLOCK).read_bytes()
    for mark, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):  # in the directory, in the file
        at = content.index(mark) + place
        content = content[:at] + bytes([method]) + content[at + 1 :]
    store.path(BLOCK).write_bytes(content)
    assert store.has(BLOCK, LAYOUT) == (method == 0)


LARGE = Layout(Lattice(64, 16), (0, 0), (200, 200), (1, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": np.zeros((9, 9), np.uint8)},
        {"confidence": np.zeros((2, 2), np.uint8)},
        {"classes": "int16"},
        {"bottom": "int32"},
        {"right": np.zeros((3, 1, 1), np.int16)},
        {"left": np.zeros((5, 0, 0), np.int16)},
        {"top": np.zeros((), np.int16)},
        {"top": np.array(["not", "numbers"])},
    ],
)
def test_a_block_of_another_shape_or_type_is_none(tmp_path, changes):
    """A checksum tells that a file is what was written, not that this run has written it."""
    store, block = BlockStore(tmp_path), LARGE.block(0, 0)
    store.save(block, block_map(LARGE))
    assert store.has(block, LARGE)
    with np.load(store.path(block)) as arrays:
        parts = dict(arrays)
    for name, new in changes.items():
        parts[name] = parts[name].astype(new) if isinstance(new, str) else new
    np.savez(store.path(block), **parts)
    assert not store.has(block, LARGE)


def test_a_block_of_another_layout_is_none(store):
    assert not store.has(BLOCK, LARGE)
