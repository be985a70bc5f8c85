"""Blending: what overlapping chips say of a pixel becomes one class and one confidence.

Weights are separable raised cosines across each overlap, so that the weights of all chips over a
pixel sum to one. Each weighted probability is rounded to a multiple of 1 / ``UNIT`` before it is
added: integer sums are the same in any order, so neither batches nor blocks nor machines can
change a map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.classes import NODATA
from geocamss.errors import RunError
from geocamss.output.blocks import BlockMap
from geocamss.scene.tiles import Block, Lattice, Layout
from geocamss.scene.window import Window

__all__ = ["UNIT", "BlockSums", "decide", "ramp", "weights"]

UNIT = 32_000
"""Probability one as an integer; four roundings up still fit into int16."""


def ramp(chip: int, overlap: int) -> Tensor:
    """Weights along one axis of a chip, (chip,) float64, 0 to 1.

    Across an overlap the falling side of one chip and the rising side of the next sum to one.
    """
    phase = (torch.arange(overlap, dtype=torch.float64) + 0.5) / max(overlap, 1)
    rise = 0.5 - 0.5 * torch.cos(math.pi * phase)
    return torch.cat([rise, torch.ones(chip - 2 * overlap, dtype=torch.float64), 1.0 - rise])


def weights(lattice: Lattice, device: torch.device) -> Tensor:
    """Weights over a chip, times ``UNIT``: (chip, chip) float32."""
    side = ramp(lattice.chip, lattice.overlap)
    return (torch.outer(side, side) * UNIT).to(device=device, dtype=torch.float32)


@dataclass
class BlockSums:
    """A block of the map while it is being made, from its top row down.

    Only the rows that a coming chip can still change are held as sums; rows above are decided, or
    laid aside where they belong to a seam.
    """

    layout: Layout
    """The grid and its blocks."""

    block: Block
    """Which block."""

    weight: Tensor
    """(chip, chip) float32, from ``weights``."""

    values: Tensor
    """(K,) uint8, the pixel value of each class."""

    map: BlockMap
    """What is decided or laid aside so far."""

    window: Window
    """The rows being summed, in pixels of the grid."""

    sums: Tensor
    """(K, height, width) int16 over ``window``, in 1 / ``UNIT``."""

    wanted: NDArray[np.bool_]
    """(height, width) over ``window``: True = to be mapped."""

    @classmethod
    def empty(cls, layout: Layout, block: Block, weight: Tensor, values: Tensor) -> BlockSums:
        """A block with nothing in it yet."""
        own = layout.interior(block).shape
        count = len(values)
        result = BlockMap(
            np.full(own, NODATA, np.uint8),
            np.full(own, NODATA, np.uint8),
            tuple(np.zeros((count, *seam.shape), np.int16) for seam in layout.seams(block)),
        )
        reach = layout.reach(block)
        window = Window(reach.row, reach.col, 0, reach.width)
        sums = torch.zeros(count, *window.shape, dtype=torch.int16, device=weight.device)
        return cls(
            layout, block, weight, values, result, window, sums, np.zeros(window.shape, bool)
        )

    def add(
        self, probabilities: Tensor, chip: Window, strip: Window, wanted: NDArray[np.bool_]
    ) -> int:
        """Add what one chip says; chips come row by row.

        Args:
            probabilities: (K, chip, chip), 0 to 1.
            chip: where the chip lies, in pixels of the grid.
            strip: where its row of chips lies, likewise.
            wanted: (height, width) over the strip, True = to be mapped.

        Returns:
            Pixels of the block's reach that became final.
        """
        done = self._open(strip, wanted)
        part = chip & self.window
        rows, cols = part.within(chip)
        share = probabilities[:, rows, cols].float() * self.weight[rows, cols]
        target = self.sums[(slice(None), *part.within(self.window))]
        target += share.round_().to(torch.int16)
        return done

    def close(self) -> int:
        """Decide the rows that are left; returns how many pixels became final."""
        reach = self.layout.reach(self.block)
        self._settle(reach.stop_row)
        return (reach.stop_row - self.window.row) * reach.width

    def _open(self, strip: Window, wanted: NDArray[np.bool_]) -> int:
        """Make the rows of a strip the ones being summed; decide those above it."""
        reach = self.layout.reach(self.block)
        window = strip & reach
        if window == self.window:
            return 0
        self._settle(window.row)
        done = (window.row - self.window.row) * reach.width
        fresh = torch.zeros(
            len(self.values), *window.shape, dtype=torch.int16, device=self.sums.device
        )
        kept = window & self.window
        if not kept.empty:
            both = (slice(None),)
            fresh[both + kept.within(window)] = self.sums[both + kept.within(self.window)]
        self.window, self.sums, self.wanted = window, fresh, wanted[window.within(strip)]
        return done

    def _settle(self, stop: int) -> None:
        """Decide the rows above ``stop``, or lay them aside for the seams."""
        rows = self.window & Window.between(self.window.row, self.window.col, stop, 2**62)
        if rows.empty:
            return
        wanted = torch.from_numpy(self.wanted[rows.within(self.window)]).to(self.sums.device)
        sums = self.sums[(slice(None), *rows.within(self.window))]
        sums = sums.masked_fill(~wanted, 0)
        self._decide(rows, sums, wanted)
        for seam, kept in zip(self.layout.seams(self.block), self.map.seams, strict=True):
            part = rows & seam
            if not part.empty:
                piece = sums[(slice(None), *part.within(rows))]
                kept[(slice(None), *part.within(seam))] = piece.cpu().numpy()

    def _decide(self, rows: Window, sums: Tensor, wanted: Tensor) -> None:
        own = self.layout.interior(self.block)
        part = rows & own
        if part.empty:
            return
        place = part.within(rows)
        classes, confidence = decide(sums[(slice(None), *place)], self.values)
        if bool(((classes == NODATA) & wanted[place]).any()):
            raise RunError(
                f"the model gives no probabilities (NaN) for valid pixels in rows {rows.row} to "
                f"{rows.stop_row} of the map"
            )
        self.map.classes[part.within(own)] = classes.cpu().numpy()
        self.map.confidence[part.within(own)] = confidence.cpu().numpy()


def decide(sums: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest class and its probability.

    Args:
        sums: (K, height, width) int16, in 1 / ``UNIT``; all zero where there is no data.
        values: (K,) uint8, the pixel value of each class.

    Returns:
        Class map and confidence in percent, both (height, width) uint8, 255 = no data. Of equally
        likely classes the first wins.
    """
    best, index = sums.max(dim=0)
    empty = best == 0
    classes = values.to(sums.device)[index].masked_fill_(empty, NODATA)
    percent = (best.float() * (100.0 / UNIT)).round_().clamp_(0, 100).to(torch.uint8)
    return classes, percent.masked_fill_(empty, NODATA)
