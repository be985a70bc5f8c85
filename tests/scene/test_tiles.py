"""The lattice covers the ground once, whatever part of it is mapped."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.scene.tiles import Lattice, Layout, Tile
from geocamss.scene.window import Window


@st.composite
def layouts(draw):
    overlap = 2 * draw(st.integers(0, 8))
    chip = 2 * overlap + draw(st.integers(1, 20))
    origin = (draw(st.integers(-500, 500)), draw(st.integers(-500, 500)))
    longest = 6 * (chip - overlap)  # more blocks than that only take longer
    shape = (draw(st.integers(1, longest)), draw(st.integers(1, longest)))
    blocks = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return Layout(Lattice(chip, overlap), origin, shape, blocks)


def paint(layout, windows):
    count = np.zeros(layout.shape, int)
    whole = Window(0, 0, *layout.shape)
    for window in windows:
        part = window & whole
        if not part.empty:
            count[part.within(whole)] += 1
    return count


@given(layouts())
def test_cores_partition_the_grid(layout):
    halo = layout.lattice.halo
    cores = [
        Window(chip.row + halo, chip.col + halo, layout.lattice.step, layout.lattice.step)
        for chip in (layout.chip_window(t) for b in layout.blocks() for t in b.tiles())
    ]
    assert (paint(layout, cores) == 1).all()


@given(layouts())
def test_no_chip_that_touches_the_grid_is_missing(layout):
    rows, cols = layout.tile_rows, layout.tile_cols
    whole = Window(0, 0, *layout.shape)
    for row in range(rows.start - 1, rows.stop + 1):
        for col in range(cols.start - 1, cols.stop + 1):
            touches = not (layout.chip_window(Tile(row, col)) & whole).empty
            assert touches == (row in rows and col in cols)


@given(layouts())
def test_cells_partition_the_grid_and_name_all_who_reach_them(layout):
    cells = list(layout.cells())
    assert (paint(layout, [window for window, _ in cells]) == 1).all()
    for window, blocks in cells:
        reaching = [b for b in layout.blocks() if not (layout.reach(b) & window).empty]
        assert set(reaching) <= set(blocks)
        if len(blocks) == 1:
            assert window == layout.interior(blocks[0])


@given(layouts())
def test_interior_and_seams_partition_the_reach(layout):
    for block in layout.blocks():
        pieces = [layout.interior(block), *layout.seams(block)]
        expected = paint(layout, [layout.reach(block)])
        np.testing.assert_array_equal(paint(layout, pieces), expected)


@given(layouts(), st.integers(-300, 300), st.integers(-300, 300))
def test_a_pixel_has_the_same_chips_whatever_the_grid(layout, rows, cols):
    moved = Layout(
        layout.lattice,
        (layout.origin[0] + rows, layout.origin[1] + cols),
        layout.shape,
        layout.block_tiles,
    )
    for tile in [Tile(0, 0), Tile(-3, 7)]:
        assert moved.chip_window(tile).shifted(rows, cols) == layout.chip_window(tile)


@given(st.integers(0, 40), st.integers(1, 50))
def test_chips_follow_each_other_without_gaps(half_overlap, core):
    lattice = Lattice(4 * half_overlap + core, 2 * half_overlap)
    tiles = [lattice.chip_window(Tile(row, 0)) for row in range(-3, 4)]
    assert all(a.stop_row - b.row == lattice.overlap for a, b in pairwise(tiles))


@pytest.mark.parametrize(("chip", "overlap"), [(0, 0), (10, 3), (10, 6), (10, -2)])
def test_impossible_lattices_are_refused(chip, overlap):
    with pytest.raises(ValueError, match=f"chip {chip} and overlap {overlap}"):
        Lattice(chip, overlap)
