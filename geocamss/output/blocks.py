"""Finished blocks on disk: one file a block, complete or absent, with a checksum."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geocamss.scene.tiles import Block

__all__ = ["BlockMap", "BlockStore"]

_SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True)
class BlockMap:
    """What one block knows of the map."""

    classes: NDArray[np.uint8]
    """Class map of the block's interior, (height, width), 255 = no data."""

    confidence: NDArray[np.uint8]
    """Percent, likewise."""

    seams: tuple[NDArray[np.int16], ...]
    """Running sums of the four seams, each (K, height, width), all zero = no data."""


@dataclass(frozen=True)
class BlockStore:
    """The folder of finished blocks.

    A file appears by rename when it is whole. It is a zip archive of arrays, so that each carries
    a CRC-32; one that does not hold is taken for absent.
    """

    folder: Path
    """Where the files lie."""

    def path(self, block: Block) -> Path:
        """Where a block's file is, or will be."""
        return self.folder / f"{block.name}.npz"

    @property
    def bytes(self) -> int:
        """What the finished blocks take on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("*.npz"))

    def save(self, block: Block, result: BlockMap) -> None:
        """Write a block's file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.path(block)
        part = target.with_suffix(".part")
        with part.open("wb") as file:
            seams = dict(zip(_SIDES, result.seams, strict=True))
            np.savez(file, classes=result.classes, confidence=result.confidence, **seams)  # type: ignore[arg-type]
        part.replace(target)

    def has(self, block: Block) -> bool:
        """Whether the block's file is there and whole: every checksum is computed."""
        try:
            with zipfile.ZipFile(self.path(block)) as archive:
                return archive.testzip() is None
        except (OSError, zipfile.BadZipFile):
            return False

    def load(self, block: Block) -> BlockMap:
        """Read a block's file.

        Raises:
            OSError: it is not there, or cannot be read.
            zipfile.BadZipFile: a checksum does not hold.
        """
        with np.load(self.path(block), allow_pickle=False) as arrays:
            return BlockMap(
                arrays["classes"], arrays["confidence"], tuple(arrays[side] for side in _SIDES)
            )
