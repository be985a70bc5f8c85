"""Parts of the ground: which blocks of an image are for training, and which are held out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.training.sources.image import IGNORED
from geocamss.training.sources.spec import Part

__all__ = ["CELL", "choose_part", "keep_part"]

CELL = 16
"""Labels are counted in squares of so many pixels, the smallest blocks that there are."""

BLOCKS = (128, 64, 32, 16)
"""Widths of blocks that are tried, in pixels: the larger, the less alike are the two sides."""

EVERY = 5
"""One block in so many is held out."""

BALANCED = 0.5
"""From here on blocks share out the labels well: of each class, 10 to 40 % are held out."""


def keep_part(labels: Tensor, part: Part | None, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Labels of a part of the blocks; all others become ignored.

    The blocks that are held out lie on diagonals, so that every row and every column of blocks
    has some of both kinds.

    Args:
        labels: (H, W) uint8.
        part: Which blocks; None keeps all.
        corner: Row and column of the first pixel, where blocks are counted from elsewhere.
    """
    if part is None:
        return labels
    height, width = labels.shape
    out = torch.from_numpy(_held_out((height, width), part.block, part.every, part.first, corner))
    return labels.masked_fill(out != (part.take == "held-out"), IGNORED)


def choose_part(counts: NDArray[np.int64]) -> Part | None:
    """Choose the blocks to hold out by where the labels lie.

    Among blocks that share out every class well, the largest; else those that do it best.

    Args:
        counts: (K, rows, columns) labeled pixels by class in squares of ``CELL`` pixels.

    Returns:
        The part that is held out; None where no blocks have every class on both sides.
    """
    tried = [
        (_balance(counts, block // CELL, first), block, first)
        for block in BLOCKS
        for first in range(EVERY)
    ]
    balance, block, first = max(
        tried, key=lambda one: (min(one[0], BALANCED), one[1], one[0], -one[2])
    )
    if balance == 0:
        return None
    return Part(block=block, every=EVERY, first=first, take="held-out")


def _held_out(
    shape: tuple[int, int], block: int, every: int, first: int, corner: tuple[int, int] = (0, 0)
) -> NDArray[np.bool_]:
    """(H, W), True = held out."""
    down, right = (start + np.arange(length) for start, length in zip(corner, shape, strict=True))
    # Two steps a row: blocks that are held out touch at no corner. In bytes: a scene is large.
    rows = (down // block * 2 % every).astype(np.uint8)
    cols = (right // block % every).astype(np.uint8)
    held: NDArray[np.bool_] = (rows[:, None] + cols) % np.uint8(every) == first
    return held


def _balance(counts: NDArray[np.int64], block: int, first: int) -> float:
    """How well the worst class is shared out: 0 where a side has none of it, 1 at one in five."""
    total = counts.sum((1, 2))
    held = counts[:, _held_out(counts.shape[1:], block, EVERY, first)].sum(1)  # (K,)
    if not ((held > 0) & (held < total)).all():
        return 0.0
    share, wanted = held / total, 1 / EVERY
    return float(np.minimum(share / wanted, wanted / share).min())
