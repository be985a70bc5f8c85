"""The engine: how one block of the output grid becomes pixels of a map.

``map_block`` is the whole story. A block is read strip by strip, one strip a row of tiles; each
strip is cut into chips; the segmenter turns batches of chips into probabilities; these are added
up where chips overlap; what no later chip can change is decided. What a neighboring block can
still change, the seams, is kept as sums, and ``stitch`` adds those up in the end.

One machine calls ``map_block`` in a loop, a cluster calls it everywhere at once. The sums are
integers, so the map is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.blend import BlockSums, decide, weights
from geocamss.models.normalize import Normalizer
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.output.blocks import BlockMap, BlockStore
from geocamss.scene.tiles import Block, Layout, Tile
from geocamss.scene.window import Window

T = TypeVar("T")

__all__ = ["Engine", "PixelSource", "Strip", "read_strips", "stitch"]


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

    pixels: NDArray[np.generic]
    """(C, chip, width), as stored."""

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


def read_strips(source: PixelSource, layout: Layout, block: Block) -> Iterator[Strip]:
    """Read a block's tile rows from top to bottom, each pixel once.

    The rows that one strip shares with the next are carried over, not read again.
    """
    lattice = layout.lattice
    first, last = block.cols.start, block.cols.stop - 1
    left = layout.chip_window(Tile(0, first)).col
    width = layout.chip_window(Tile(0, last)).stop_col - left
    carried: tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.bool_]] | None = None
    for row in block.rows:
        top = layout.chip_window(Tile(row, first)).row
        window = Window(top, left, lattice.chip, width)
        have = 0 if carried is None else lattice.overlap
        fresh = Window(top + have, left, lattice.chip - have, width)
        pixels, valid = source.read(fresh)
        wanted = valid & source.inside(fresh)
        if carried is not None and have:
            pixels = np.concatenate([carried[0], pixels], axis=1)
            valid = np.concatenate([carried[1], valid])
            wanted = np.concatenate([carried[2], wanted])
        tail = slice(lattice.chip - lattice.overlap, None)
        carried = pixels[:, tail], valid[tail], wanted[tail]
        yield Strip(row, window, pixels, valid, wanted)


@dataclass(frozen=True)
class Engine:
    """Everything that fixes the pixels of a map, but the pixels of the scene."""

    layout: Layout
    """Lattice, grid and blocks."""

    segmenter: Segmenter
    """Turns chips into probabilities."""

    normalizer: Normalizer
    """Stored numbers to network inputs."""

    sampling: Sampling = field(default_factory=Sampling)
    """How the segmenter draws."""

    batch: int = 1
    """Chips at once; a shorter last batch is padded, since kernels choose by shape."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be 1 or more, got {self.batch}")

    def map_block(
        self,
        block: Block,
        strips: Iterator[Strip],
        report: Callable[[int], None] = lambda _: None,
    ) -> BlockMap:
        """Map one block.

        Args:
            block: which.
            strips: yields the block's strips next; exactly those are taken.
            report: told of pixels of the grid as they are done.
        """
        sums = BlockSums.empty(self.layout, block, self.weight, self.values)
        chips = _chips(self.layout, block, islice(strips, len(block.rows)))
        for batch in _batched(chips, self.batch):
            said = self.segment(batch)
            for chip, probabilities in zip(batch, said, strict=False):
                report(sums.add(probabilities, chip.window, chip.strip.window, chip.strip.wanted))
        report(sums.close())
        return sums.map

    def segment(self, batch: Sequence[Chip]) -> Tensor:
        """Probabilities of a batch of chips, (batch, K, chip, chip)."""
        device = self.segmenter.device
        size = self.layout.lattice.chip
        count = len(batch[0].strip.pixels)
        pixels = np.zeros((self.batch, count, size, size), batch[0].strip.pixels.dtype)
        valid = np.zeros((self.batch, size, size), np.bool_)
        corners = torch.zeros(self.batch, 2, dtype=torch.int64)
        for index, chip in enumerate(batch):
            rows, cols = chip.window.within(chip.strip.window)
            pixels[index] = chip.strip.pixels[:, rows, cols]
            valid[index] = chip.strip.valid[rows, cols]
            place = self.layout.lattice.chip_window(chip.tile)
            corners[index, 0], corners[index, 1] = place.row, place.col
        usable = torch.from_numpy(valid).to(device)
        chips = self.normalizer(torch.from_numpy(pixels).to(device), usable)
        return self.segmenter(chips, usable, corners, self.sampling)

    @cached_property
    def weight(self) -> Tensor:
        """Blending weights of a chip, (chip, chip) float32 on the segmenter's device."""
        return weights(self.layout.lattice, self.segmenter.device)

    @cached_property
    def values(self) -> Tensor:
        """Pixel value of each class, (K,) uint8 on the segmenter's device."""
        values = self.segmenter.card.classes.values
        return torch.tensor(values, dtype=torch.uint8, device=self.segmenter.device)


def _batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items in order, ``size`` at a time; the last tuple may be shorter."""
    source = iter(items)
    while batch := tuple(islice(source, size)):
        yield batch


def _chips(layout: Layout, block: Block, strips: Iterable[Strip]) -> Iterator[Chip]:
    """The chips of a block that hold anything to map, row by row."""
    for strip in strips:
        for col in block.cols:
            tile = Tile(strip.row, col)
            window = layout.chip_window(tile)
            if strip.wanted[window.within(strip.window)].any():
                yield Chip(tile, window, strip)


def stitch(
    layout: Layout, store: BlockStore, values: NDArray[np.uint8]
) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Put the finished blocks together, cell by cell, and decide what lies in the seams.

    Args:
        layout: the grid and its blocks.
        store: holds every block.
        values: (K,) the pixel value of each class.

    Yields:
        A window of the grid with its class map and confidence, both uint8, 255 = no data. The
        windows do not overlap and cover the grid.
    """
    lookup = torch.from_numpy(values)
    for window, blocks in layout.cells():
        if len(blocks) == 1:
            block = store.load(blocks[0])
            part = window.within(layout.interior(blocks[0]))
            yield window, block.classes[part], block.confidence[part]
        else:
            sums = sum(_seam_sums(layout, store, block, window) for block in blocks)
            classes, confidence = decide(torch.from_numpy(np.asarray(sums)), lookup)
            yield window, classes.numpy(), confidence.numpy()


def _seam_sums(
    layout: Layout, store: BlockStore, block: Block, window: Window
) -> NDArray[np.int16]:
    """What one block adds to a window that it shares with others, (K, height, width)."""
    result = store.load(block)
    parts = [
        (seam & window, seam, sums)
        for seam, sums in zip(layout.seams(block), result.seams, strict=True)
    ]
    total = np.zeros((len(parts[0][2]), *window.shape), np.int16)
    for part, seam, sums in parts:
        if not part.empty:
            total[(slice(None), *part.within(window))] = sums[(slice(None), *part.within(seam))]
    return total
