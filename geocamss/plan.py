"""How large blocks and batches are: decided before a run starts, from sizes alone."""

from __future__ import annotations

from geocamss.modelcard import ModelCard
from geocamss.scene.tiles import Lattice

__all__ = ["batch_size", "block_tiles"]

BLOCK_SIDE = 4096
"""A block is about this wide and high, in pixels, unless memory says otherwise."""

SUMS_BYTES = 64 * 2**20
"""The running sums of a block's open rows take at most about this many bytes."""

BATCH_PIXELS = 2**20
"""A batch holds about this many pixels."""

BATCH_BYTES = 64 * 2**20
"""The probabilities of a batch take at most about this many bytes, in float32."""


def block_tiles(card: ModelCard) -> tuple[int, int]:
    """Rows and columns of tiles in a block.

    The sums of one row of tiles, int16 for every class, bound the columns; seams as wide as the
    overlap, likewise int16, make small blocks costly, so a block is as large as that allows.
    """
    lattice = Lattice.of(card)
    a_tile = lattice.chip * lattice.step * len(card.classes) * 2
    side = max(1, min(BLOCK_SIDE // lattice.step, SUMS_BYTES // a_tile))
    return side, side


def batch_size(card: ModelCard) -> int:
    """Chips that the network sees at once."""
    chip = card.chip**2
    return max(1, min(BATCH_PIXELS // chip, BATCH_BYTES // (chip * 4 * len(card.classes))))
