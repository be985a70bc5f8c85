"""Strips: rows of a block's tiles as they are read, and the chips cut out of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geocamss.scene.tiles import Block, Layout, Tile
from geocamss.scene.window import Window

__all__ = ["Chip", "PixelSource", "Strip", "cut_chips", "read_strips"]


class PixelSource(Protocol):
    """Where the pixels of the grid come from."""

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels of the selected bands, (C, h, w), and their validity, (h, w), True = usable.

        The window may reach beyond the grid; nothing is valid there.
        """

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels are to be mapped, (h, w): those within the area of interest."""


@dataclass(frozen=True)
class Strip:
    """The pixels of one row of a block's tiles, halos included."""

    row: int
    """Global tile row."""

    window: Window
    """Where the strip lies, in pixels of the grid; may reach beyond it."""

    pixels: tuple[NDArray[np.generic], ...]
    """(C, height, width) each, as stored, one below the other: rows that the strip above has too,
    and those read for this one. They are never copied together."""

    valid: NDArray[np.bool_]
    """(chip, width), True = usable by the model."""

    wanted: NDArray[np.bool_]
    """(chip, width), True = valid and to be mapped."""


@dataclass(frozen=True)
class Chip:
    """What the network sees at once."""

    tile: Tile
    """Its place in the lattice."""

    window: Window
    """Its pixels in the grid; may reach beyond it."""

    strip: Strip
    """Where its pixels are."""

    @property
    def pixels(self) -> Iterator[tuple[slice, NDArray[np.generic]]]:
        """Rows of the chip, and their pixels (C, height, chip) as stored, views; from the top."""
        _, cols = self._place
        top = 0
        for part in self.strip.pixels:
            rows = slice(top, top + part.shape[1])
            yield rows, part[:, :, cols]
            top = rows.stop

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(chip, chip), True = usable by the model; a view."""
        cut: NDArray[np.bool_] = self.strip.valid[self._place]
        return cut

    @property
    def wanted(self) -> bool:
        """Whether anything in it is to be mapped."""
        return bool(self.strip.wanted[self._place].any())

    @property
    def _place(self) -> tuple[slice, slice]:
        return self.window.within(self.strip.window)


def read_strips(source: PixelSource, layout: Layout, block: Block) -> Iterator[Strip]:
    """Read a block's tile rows from top to bottom, each pixel once.

    The rows that one strip shares with the next are carried over, not read again.
    """
    overlap = layout.lattice.overlap
    before: Strip | None = None
    for row in block.rows:
        window = layout.strip(block, row)
        have = 0 if before is None else overlap
        fresh = Window.between(window.row + have, window.col, window.stop_row, window.stop_col)
        pixels, usable = source.read(fresh)
        parts: tuple[NDArray[np.generic], ...] = (pixels,)
        valid, wanted = np.empty(window.shape, bool), np.empty(window.shape, bool)
        valid[have:] = usable
        np.logical_and(usable, source.inside(fresh), out=wanted[have:])
        if before is not None and have:
            # An overlap is at most half a chip, so that the strip above has read all of it.
            parts = (before.pixels[-1][:, -have:], pixels)
            valid[:have], wanted[:have] = before.valid[-have:], before.wanted[-have:]
        strip = Strip(row, window, parts, valid, wanted)
        before = strip
        yield strip


def cut_chips(layout: Layout, block: Block, strips: Iterable[Strip]) -> Iterator[Chip]:
    """The chips of a block that hold anything to map, row by row."""
    for strip in strips:
        for col in block.cols:
            tile = Tile(strip.row, col)
            chip = Chip(tile, layout.chip_window(tile), strip)
            if chip.wanted:
                yield chip
