"""Parts of the ground: which blocks of an image are for training, and which are held out."""

from __future__ import annotations

import torch
from torch import Tensor

from geocamss.training.sources.image import IGNORED
from geocamss.training.sources.spec import Part

__all__ = ["keep_part"]


def keep_part(labels: Tensor, part: Part | None) -> Tensor:
    """Labels of a part of the blocks; all others become ignored.

    The blocks that are held out lie on diagonals, so that every row and every column of blocks
    has some of both kinds.

    Args:
        labels: (H, W) uint8.
        part: Which blocks; None keeps all.
    """
    if part is None:
        return labels
    rows = torch.arange(labels.shape[0])[:, None] // part.block
    cols = torch.arange(labels.shape[1])[None, :] // part.block
    # Two steps a row: blocks that are held out touch at no corner.
    held_out = (rows * 2 + cols) % part.every == 0
    return labels.masked_fill(held_out != (part.take == "held-out"), IGNORED)
