"""Blending: what overlapping chips say of a pixel becomes one class and one confidence.

Weights are separable raised cosines across each overlap, so that the weights of all chips over a
pixel sum to one. Each weighted probability is rounded to a multiple of 1 / ``UNIT`` before it is
added: integer sums are the same in any order, so neither batches nor blocks nor machines can
change a map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.classes import NODATA
from geocamss.doubt import doubt
from geocamss.errors import RunError
from geocamss.output.blocks import LEVELS, BlockMap
from geocamss.scene.tiles import Block, Lattice, Layout
from geocamss.scene.window import Window

__all__ = ["UNIT", "BlockSums", "certainty", "decide", "ramp", "shares", "weights"]

UNIT = 32_000
"""Probability one as an integer; four roundings up still fit into int16."""

CACHED_PIXELS = 1 << 17
"""Pixels that a processor decides at a time: their sums stay in its cache."""


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

    Only the rows of one strip, which a coming chip can still change, are held as sums; rows above
    are decided, or laid aside where they belong to a seam.
    """

    layout: Layout
    """The grid and its blocks."""

    block: Block
    """Which block."""

    weight: Tensor
    """(chip, chip) float32, from ``weights``."""

    values: Sequence[int]
    """The pixel value of each class, by channel."""

    map: BlockMap
    """What is decided or laid aside so far."""

    strip: Window
    """The rows being summed, in pixels of the grid; may reach beyond it."""

    sums: Tensor
    """(K, chip, width) int16 over ``strip``, in 1 / ``UNIT``; with doubt, (K + 1, chip, width)."""

    wanted: NDArray[np.bool_]
    """(chip, width) over ``strip``: True = to be mapped."""

    done: int = 0
    """Rows of the block's reach that are final."""

    _add: Adder = field(init=False)

    def __post_init__(self) -> None:
        self._add = Adder(self.weight, len(self.sums))

    @classmethod
    def empty(
        cls,
        layout: Layout,
        block: Block,
        weight: Tensor,
        values: Sequence[int],
        *,
        confidence: bool = True,
        doubt: bool = False,
        probabilities: bool = False,
    ) -> BlockSums:
        """A block with nothing in it yet; with doubt, entropies come behind the probabilities.

        With ``confidence``, the largest probability is kept, with ``probabilities`` all of them.
        """
        own = layout.interior(block).shape
        count = len(values) + doubt
        result = BlockMap(
            np.full(own, NODATA, np.uint8),
            np.full(own, NODATA, np.uint8) if confidence else None,
            tuple(np.zeros((count, *seam.shape), np.int16) for seam in layout.seams(block)),
            np.full((2, *own), NODATA, np.uint8) if doubt else None,
            np.full((len(values), *own), NODATA, np.uint8) if probabilities else None,
        )
        strip = layout.strip(block, block.rows.start)
        sums = torch.zeros(count, *strip.shape, dtype=torch.int16, device=weight.device)
        return cls(layout, block, weight, values, result, strip, sums, np.zeros(strip.shape, bool))

    def add(
        self, probabilities: Tensor, chip: Window, strip: Window, wanted: NDArray[np.bool_]
    ) -> int:
        """Add what one chip says; chips come row by row.

        Args:
            probabilities: (K, chip, chip), 0 to 1; with doubt, (K + 1, chip, chip).
            chip: where the chip lies, in pixels of the grid.
            strip: where its row of chips lies, likewise.
            wanted: (height, width) over the strip, True = to be mapped.

        Returns:
            Pixels of the block's reach that became final.
        """
        final = self._open(strip, wanted)
        left = chip.col - strip.col
        self._add(probabilities, self.sums[:, :, left : left + chip.width])
        return final

    def close(self) -> int:
        """Decide the rows that are left; returns how many pixels became final."""
        self._settle(self.strip.stop_row)
        return self._count(self.layout.reach(self.block).stop_row)

    def _open(self, strip: Window, wanted: NDArray[np.bool_]) -> int:
        """Make the rows of a strip the ones being summed; decide those above it."""
        final = 0
        if strip != self.strip:
            self._settle(strip.row)
            final = self._count(strip.row)
            kept = max(0, self.strip.stop_row - strip.row)
            # An overlap is at most half a chip, so that old and new place do not intersect.
            self.sums[:, :kept] = self.sums[:, self.strip.height - kept :]
            self.sums[:, kept:] = 0
            self.strip = strip
        self.wanted = wanted
        return final

    def _count(self, stop: int) -> int:
        """Pixels of the block's reach above a row that had not been counted yet."""
        reach = self.layout.reach(self.block)
        rows = min(max(stop - reach.row, self.done), reach.height)
        self.done, rows = rows, rows - self.done
        return rows * reach.width

    def _settle(self, stop: int) -> None:
        """Decide the rows above ``stop``, or lay them aside for the seams."""
        reach = self.layout.reach(self.block)
        held = self.strip & reach
        rows = held & Window.between(held.row, held.col, stop, held.stop_col)
        seams = zip(self.layout.seams(self.block), self.map.seams, strict=True)
        for seam, kept in seams:
            part = rows & seam
            if not part.empty:
                kept[(slice(None), *part.within(seam))] = self._masked_sums(part)
        for part in _bands(rows & self.layout.interior(self.block), self.sums.device):
            self._decide(part)

    def _masked_sums(self, part: Window) -> NDArray[np.int16]:
        place = part.within(self.strip)
        sums: NDArray[np.int16] = self.sums[(slice(None), *place)].cpu().numpy()
        wanted = self.wanted[place]
        return sums if wanted.all() else sums * wanted

    def _decide(self, part: Window) -> None:
        place = part.within(self.strip)
        wanted = self.wanted[place]
        sums = self.sums[(slice(None), *place)]
        classwise = sums[: len(self.values)]
        classes = decide(classwise, self.values).cpu().numpy()
        if ((classes == NODATA) & wanted).any():
            raise RunError(
                f"the model gives no probabilities (NaN) for valid pixels in rows {part.row} to "
                f"{part.stop_row} of the map"
            )
        if not wanted.all():
            classes[~wanted] = NODATA
        target = part.within(self.layout.interior(self.block))
        self.map.classes[target] = classes
        if self.map.confidence is not None:
            percent = certainty(classwise).cpu().numpy()
            self.map.confidence[target] = np.where(wanted, percent, NODATA)
        if self.map.doubt is not None:
            found = doubt(sums, UNIT).cpu().numpy()
            self.map.doubt[(slice(None), *target)] = np.where(wanted, found, NODATA)
        if self.map.probabilities is not None:
            found = shares(classwise).cpu().numpy()
            self.map.probabilities[(slice(None), *target)] = np.where(wanted, found, NODATA)


class Adder:
    """Weights probabilities, rounds them, and adds them up, in memory that it keeps."""

    def __init__(self, weight: Tensor, planes: int) -> None:
        self._weight = weight
        # One plane at a time stays in a processor's cache; a GPU would rather be asked once.
        self._step = 1 if weight.device.type == "cpu" else planes
        shape = (self._step, *weight.shape)
        self._half = torch.full((), 0.5, device=weight.device)
        self._share = torch.empty(shape, device=weight.device)
        self._whole = torch.empty(shape, dtype=torch.int16, device=weight.device)

    def __call__(self, probabilities: Tensor, sums: Tensor) -> None:
        """Add (K, chip, chip) probabilities to a view of sums of that shape."""
        for first in range(0, len(sums), self._step):
            planes = slice(first, first + self._step)
            said = probabilities[planes].float()
            torch.addcmul(self._half, said, self._weight, out=self._share)
            self._whole.copy_(self._share)  # cuts off what is behind the point
            sums[planes].add_(self._whole)


def _bands(window: Window, device: torch.device) -> Iterator[Window]:
    """A window cut into bands of rows that suit a device; none of an empty one."""
    if window.empty:
        return
    rows = max(1, CACHED_PIXELS // window.width) if device.type == "cpu" else window.height
    for row in range(window.row, window.stop_row, rows):
        yield Window.between(row, window.col, min(row + rows, window.stop_row), window.stop_col)


def decide(sums: Tensor, values: Sequence[int]) -> Tensor:
    """The likeliest class.

    Args:
        sums: (K, height, width) int16, in 1 / ``UNIT``; all zero where there is no data.
        values: the pixel value of each class, by channel.

    Returns:
        (height, width) uint8, 255 = no data. Of equally likely classes the first wins.
    """
    best = sums.amax(dim=0)
    classes = torch.full_like(best, NODATA)
    here, change = torch.empty_like(best), torch.empty_like(best)
    for total, value in reversed(list(zip(sums, values, strict=True))):
        # Sums and products in one number format: several times as fast as an index, or as where().
        torch.eq(total, best, out=here)
        torch.sub(torch.tensor(value, dtype=torch.int16), classes, out=change)
        classes.addcmul_(here, change)
    torch.eq(best, 0, out=here).neg_()  # all bits where there is no data, else none
    return classes.bitwise_or_(here.bitwise_and_(NODATA)).to(torch.uint8)


def certainty(sums: Tensor) -> Tensor:
    """The probability of the likeliest class.

    Args:
        sums: (K, height, width) int16, in 1 / ``UNIT``; all zero where there is no data.

    Returns:
        (height, width) uint8, in percent, 255 = no data.
    """
    best = sums.amax(dim=0)
    percent = best.float().mul_(100.0 / UNIT).round_().to(torch.int16)
    nothing = torch.eq(best, 0, out=best).neg_()
    return percent.bitwise_or_(nothing.bitwise_and_(NODATA)).to(torch.uint8)


def shares(sums: Tensor) -> Tensor:
    """The probability of each class.

    Args:
        sums: (K, height, width) int16, in 1 / ``UNIT``; all zero where there is no data.

    Returns:
        (K, height, width) uint8, 0 to ``LEVELS`` for none to one, 255 = no data.
    """
    step = UNIT // LEVELS
    levels = ((sums + step // 2) // step).to(torch.uint8)
    return levels.masked_fill_(sums.amax(dim=0) == 0, NODATA)
