"""How large blocks and batches are: decided before a run starts, from sizes alone."""

from __future__ import annotations

from geocamss.modelcard import ModelCard
from geocamss.scene.tiles import Lattice

__all__ = ["batch_size", "block_tiles", "evened", "hands"]

BLOCK_WIDTH = 6144
"""A block is at most about this wide, in pixels: the rows that it holds must not grow with the
scene."""

BLOCK_PIXELS = 2**24
"""A block holds about this many pixels: what a run that is killed may lose."""

SUMS_BYTES = 64 * 2**20
"""The running sums of a strip take at most about this many bytes."""

SHARES_BYTES = 128 * 2**20
"""The probabilities of a block's pixels, a byte for every class, take at most about this many
bytes, should they be kept."""

BATCH_PIXELS = 2**18
"""A batch holds about this many pixels on a processor, whose caches larger ones overflow."""

GPU_BATCH_PIXELS = 2**23
"""A batch holds at most about this many pixels on a GPU."""

BATCH_BYTES = 64 * 2**20
"""The probabilities of a batch take at most about this many bytes, in float32."""

HANDS = 2
"""A network is asked about at most so many batches side by side: each takes memory of its own, and
while one is blended or normalized, the other keeps the cores busy."""

HANDS_BYTES = 128 * 2**20
"""Inputs and probabilities of these take at most about this many bytes, in float32."""

BATCHES_A_HAND = 8
"""Each hand has at least so many batches of a block: when the last ones are asked about, some hands
have nothing left to do."""


def block_tiles(card: ModelCard) -> tuple[int, int]:
    """Rows and columns of tiles in a block, at most.

    The sums of a strip, int16 for every class, bound the columns. Wide blocks are better than high
    ones: a raster's own tiles and strips are then decoded less often.
    """
    lattice = Lattice.of(card)
    sums = lattice.chip * lattice.step * len(card.classes) * 2
    cols = max(1, min(BLOCK_WIDTH // lattice.step, SUMS_BYTES // sums))
    pixels = min(BLOCK_PIXELS, SHARES_BYTES // len(card.classes))
    rows = max(1, pixels // (cols * lattice.step**2))
    return rows, cols


def evened(limit: int, count: int) -> int:
    """Tiles along one side of a block, so that blocks of at most ``limit`` are about equal."""
    blocks = -(-count // limit)
    return -(-count // blocks)


def batch_size(card: ModelCard, pixels: int = BATCH_PIXELS) -> int:
    """Chips that the network sees at once: of about so many pixels together."""
    chip = card.chip**2
    return max(1, min(pixels // chip, BATCH_BYTES // (chip * 4 * len(card.classes))))


def hands(card: ModelCard, batch: int, tiles: int, threads: int) -> int:
    """Batches that a processor's network is asked about side by side.

    Args:
        card: of the model.
        batch: chips at once.
        tiles: of a block.
        threads: that the network may have, in all.
    """
    share = batch * card.chip**2 * 4 * (len(card.bands) + len(card.classes))
    most = min(HANDS, threads, tiles // (BATCHES_A_HAND * batch), HANDS_BYTES // share)
    return max(1, most)
