"""The global lattice: where chips lie, and how they are grouped into blocks.

Positions are fixed in the lattice of the whole coordinate system, not of one scene: a pixel is
covered by the same chips, at the same places, whichever part of the ground is being mapped.
Everything here is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geocamss.scene.window import Window

if TYPE_CHECKING:
    from geocamss.modelcard import ModelCard

__all__ = ["Block", "Lattice", "Layout", "Tile"]


@dataclass(frozen=True, order=True)
class Tile:
    """A cell of the lattice, by its global index."""

    row: int
    col: int


@dataclass(frozen=True)
class Lattice:
    """Chips of one size, evenly spaced from the coordinate system's origin."""

    chip: int
    """Width and height of a chip, in pixels."""

    overlap: int
    """Shared width of neighboring chips, in pixels; even, at most half a chip."""

    def __post_init__(self) -> None:
        if self.chip < 1 or self.overlap < 0 or self.overlap % 2 or 2 * self.overlap > self.chip:
            raise ValueError(
                "a lattice needs a chip of 1 or more pixels and an even overlap of at most half "
                f"of it, got chip {self.chip} and overlap {self.overlap}"
            )

    @classmethod
    def of(cls, card: ModelCard) -> Lattice:
        """The lattice that a model wants."""
        return cls(card.chip, card.overlap)

    @property
    def step(self) -> int:
        """Pixels from one tile to the next: the side of a tile's core."""
        return self.chip - self.overlap

    @property
    def halo(self) -> int:
        """Pixels of a chip around its tile's core."""
        return self.overlap // 2

    def chip_window(self, tile: Tile) -> Window:
        """The chip of a tile, in global pixels."""
        return Window(
            tile.row * self.step - self.halo, tile.col * self.step - self.halo, self.chip, self.chip
        )

    def span(self, start: int, stop: int) -> range:
        """Indices, along one axis, of all tiles whose chips touch global pixels [start, stop)."""
        return range((start - self.halo) // self.step, (stop - 1 + self.halo) // self.step + 1)


@dataclass(frozen=True, order=True)
class Block:
    """A rectangle of tiles: the unit of work, memory, resume and distribution."""

    row: int
    """Position among the blocks of a grid, from the top."""

    col: int
    """Position among the blocks of a grid, from the left."""

    rows: range
    """Global tile rows."""

    cols: range
    """Global tile columns."""

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"r{self.row:05d}c{self.col:05d}"

    def tiles(self) -> Iterator[Tile]:
        """Its tiles, row by row."""
        return (Tile(row, col) for row in self.rows for col in self.cols)


@dataclass(frozen=True)
class Layout:
    """How the lattice falls on one grid, and the blocks that share out its tiles.

    Chips of neighboring blocks overlap, so near the line between two blocks both have a say: such
    pixels are a *seam*, a strip as wide as the overlap. All other pixels of a block are its own.
    """

    lattice: Lattice
    """Where chips lie."""

    origin: tuple[int, int]
    """Global row and column of the grid's first pixel."""

    shape: tuple[int, int]
    """Height and width of the grid, in pixels."""

    block_tiles: tuple[int, int]
    """Rows and columns of tiles in a block; the last ones may have fewer."""

    def __post_init__(self) -> None:
        if min(self.block_tiles) < 1 or min(self.shape) < 1:
            raise ValueError(
                f"blocks and grid need at least one row and column, got {self.block_tiles} tiles "
                f"and {self.shape} pixels"
            )

    @property
    def tile_rows(self) -> range:
        """Global rows of all tiles whose chips touch the grid."""
        return self.lattice.span(self.origin[0], self.origin[0] + self.shape[0])

    @property
    def tile_cols(self) -> range:
        """Global columns of all tiles whose chips touch the grid."""
        return self.lattice.span(self.origin[1], self.origin[1] + self.shape[1])

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return (
            -(-len(self.tile_rows) // self.block_tiles[0]),
            -(-len(self.tile_cols) // self.block_tiles[1]),
        )

    def block(self, row: int, col: int) -> Block:
        """The block at a position among the blocks."""
        high, wide = self.block_tiles
        return Block(
            row,
            col,
            self.tile_rows[row * high : (row + 1) * high],
            self.tile_cols[col * wide : (col + 1) * wide],
        )

    def blocks(self) -> Iterator[Block]:
        """All blocks, row by row."""
        rows, cols = self.block_shape
        return (self.block(row, col) for row in range(rows) for col in range(cols))

    def chip_window(self, tile: Tile) -> Window:
        """The chip of a tile, in pixels of the grid; may reach beyond it."""
        return self.lattice.chip_window(tile).shifted(-self.origin[0], -self.origin[1])

    def strip(self, block: Block, row: int) -> Window:
        """All pixels under the chips of one row of a block's tiles; may reach beyond the grid."""
        first = self.chip_window(Tile(row, block.cols.start))
        last = self.chip_window(Tile(row, block.cols.stop - 1))
        return Window.between(first.row, first.col, last.stop_row, last.stop_col)

    def reach(self, block: Block) -> Window:
        """All pixels of the grid that the block's chips touch."""
        rows = self._reach(block.rows, 0)
        cols = self._reach(block.cols, 1)
        return Window.between(rows[0], cols[0], rows[1], cols[1])

    def interior(self, block: Block) -> Window:
        """The pixels of the grid that only this block's chips touch."""
        rows = self._interior(block.rows, self.tile_rows, 0)
        cols = self._interior(block.cols, self.tile_cols, 1)
        return Window.between(rows[0], cols[0], rows[1], cols[1])

    def seams(self, block: Block) -> tuple[Window, Window, Window, Window]:
        """The pixels that the block shares: above, below, left and right of its interior.

        The first two are as wide as the block's reach; any of them may be empty.
        """
        reach, own = self.reach(block), self.interior(block)
        top = min(max(own.row, reach.row), reach.stop_row)
        bottom = min(max(own.stop_row, top), reach.stop_row)
        left = min(max(own.col, reach.col), reach.stop_col)
        right = min(max(own.stop_col, left), reach.stop_col)
        return (
            Window.between(reach.row, reach.col, top, reach.stop_col),
            Window.between(bottom, reach.col, reach.stop_row, reach.stop_col),
            Window.between(top, reach.col, bottom, left),
            Window.between(top, right, bottom, reach.stop_col),
        )

    def cells(self) -> Iterator[tuple[Window, tuple[Block, ...]]]:
        """Cut the grid into interiors and seams, each with the blocks that have a say there.

        The cells come row by row, do not overlap, and cover the grid.
        """
        rows, cols = self.block_shape
        down = self._cuts([self.block(row, 0).rows for row in range(rows)], 0)
        across = self._cuts([self.block(0, col).cols for col in range(cols)], 1)
        for top, bottom, block_rows in down:
            for left, right, block_cols in across:
                blocks = tuple(self.block(row, col) for row in block_rows for col in block_cols)
                yield Window.between(top, left, bottom, right), blocks

    def _cuts(self, spans: list[range], axis: int) -> list[tuple[int, int, tuple[int, ...]]]:
        """Start, stop and block positions of each interior and seam along one axis."""
        step, halo = self.lattice.step, self.lattice.halo
        size = self.shape[axis]
        cuts: list[tuple[int, int, tuple[int, ...]]] = []
        start = 0
        for index, span in enumerate(spans):
            line = span.stop * step - self.origin[axis]
            last = index == len(spans) - 1
            inner = size if last else min(size, max(start, line - halo))
            cuts.append((start, inner, (index,)))
            start = inner
            if not last:
                outer = min(size, max(start, line + halo))
                cuts.append((start, outer, (index, index + 1)))
                start = outer
        return [cut for cut in cuts if cut[0] < cut[1]]

    def _reach(self, tiles: range, axis: int) -> tuple[int, int]:
        step, halo = self.lattice.step, self.lattice.halo
        start = tiles.start * step - halo - self.origin[axis]
        stop = tiles.stop * step + halo - self.origin[axis]
        return max(0, start), min(self.shape[axis], stop)

    def _interior(self, tiles: range, whole: range, axis: int) -> tuple[int, int]:
        step, halo = self.lattice.step, self.lattice.halo
        start, stop = self._reach(tiles, axis)
        if tiles.start != whole.start:
            start = tiles.start * step + halo - self.origin[axis]
        if tiles.stop != whole.stop:
            stop = tiles.stop * step - halo - self.origin[axis]
        return max(0, start), min(self.shape[axis], stop)
