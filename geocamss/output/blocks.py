"""Finished blocks on disk: one file a block, complete or absent, with a checksum."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geocamss.scene.tiles import Block, Layout
from geocamss.whole import settle

__all__ = ["LEVELS", "BlockFile", "BlockMap", "BlockStore", "layers"]

LEVELS = 250
"""Stored value of probability one, and of the largest doubt there can be; a level is 0.004."""

_SIDES = ("top", "bottom", "left", "right")


def layers(classes: int, *, confidence: bool = True, doubt: bool, probabilities: bool) -> int:
    """Bytes that a block's map holds of each pixel of its interior.

    Args:
        classes: how many there are.
        confidence: whether it is asked for.
        doubt: whether entropy and mutual information are asked for.
        probabilities: whether those of all classes are.
    """
    return 1 + confidence + 2 * doubt + classes * probabilities


@dataclass(frozen=True)
class BlockMap:
    """What one block knows of the map."""

    classes: NDArray[np.uint8]
    """Class map of the block's interior, (height, width), 255 = no data."""

    confidence: NDArray[np.uint8] | None
    """Percent, likewise; None where it was not asked for."""

    seams: tuple[NDArray[np.int16], ...]
    """Running sums of the four seams, each (K, height, width), all zero = no data; with doubt,
    (K + 1, height, width)."""

    doubt: NDArray[np.uint8] | None = None
    """Entropy and mutual information of the interior, (2, height, width), 255 = no data; None
    where they were not asked for."""

    probabilities: NDArray[np.uint8] | None = None
    """Probability of each class over the interior, (K, height, width), 0 to 250 for none to one,
    255 = no data; None where they were not asked for."""


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
            parts: dict[str, NDArray[Any]] = dict(zip(_SIDES, result.seams, strict=True))
            for name in ("confidence", "doubt", "probabilities"):
                if (more := getattr(result, name)) is not None:
                    parts[name] = more
            # Its own keyword, which is none of these, is taken for one of them by type checkers.
            np.savez(file, classes=result.classes, **parts)  # type: ignore[arg-type]
        settle(part)
        part.replace(target)

    def has(self, block: Block, layout: Layout, *, confidence: bool = True) -> bool:
        """Whether the block's file is there and whole: every checksum is computed.

        Args:
            block: which.
            layout: of the grid, which says how large its parts are.
            confidence: whether it must hold that.
        """
        interior = layout.interior(block).shape
        wanted: dict[str, tuple[str, tuple[int, ...]]]
        wanted = {"classes": ("u1", interior)}
        if confidence:
            wanted["confidence"] = ("u1", interior)
        seams = zip(_SIDES, layout.seams(block), strict=True)
        try:
            with zipfile.ZipFile(self.path(block)) as archive:
                if archive.testzip() is not None:
                    return False
                planes = _header(archive, _SIDES[0])[1][0]
                wanted |= {side: ("i2", (planes, *seam.shape)) for side, seam in seams}
                return all(_header(archive, name) == what for name, what in wanted.items())
        # An archive whose bits have flipped ends in many ways: as one of another compression, whose
        # library has errors of its own, as one that is encrypted, as one larger than the memory.
        except Exception:  # noqa: BLE001  (however it fails, the block is made again)
            return False

    def missing(self, layout: Layout, *, confidence: bool = True) -> list[Block]:
        """The blocks that are still to be mapped; arguments as of ``has``."""
        blocks = layout.blocks()
        return [block for block in blocks if not self.has(block, layout, confidence=confidence)]

    def open(self, block: Block) -> BlockFile:
        """A block's file, to be read in parts."""
        return BlockFile(self.path(block))

    def load(self, block: Block) -> BlockMap:
        """Read a block's file.

        Raises:
            OSError: it is not there, or cannot be read.
            zipfile.BadZipFile: a checksum does not hold.
        """
        file = self.open(block)
        seams = tuple(file.seam(side) for side in range(len(_SIDES)))
        return BlockMap(file.classes, file.confidence, seams, file.doubt, file.probabilities)


@dataclass(frozen=True)
class BlockFile:
    """A finished block, each part of which is read when it is asked for.

    Raises:
        OSError: a part cannot be read.
        zipfile.BadZipFile: its checksum does not hold.
    """

    path: Path
    """Where it is."""

    _seams: dict[int, NDArray[np.int16]] = field(default_factory=dict, repr=False)

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Class map of the interior, as in ``BlockMap``; read anew each time."""
        return self._part("classes")

    @property
    def confidence(self) -> NDArray[np.uint8] | None:
        """Percent, likewise; None where it was not asked for."""
        return self._part_if_there("confidence")

    @property
    def sure(self) -> bool:
        """Whether it has confidence, without reading it."""
        return self._holds("confidence")

    @property
    def doubt(self) -> NDArray[np.uint8] | None:
        """Entropy and mutual information, likewise; None where they were not asked for."""
        return self._part_if_there("doubt")

    @property
    def probabilities(self) -> NDArray[np.uint8] | None:
        """Probability of each class, likewise; None where they were not asked for."""
        return self._part_if_there("probabilities")

    def seam(self, side: int) -> NDArray[np.int16]:
        """Running sums of a seam, by its place in ``BlockMap.seams``; read once and kept."""
        if side not in self._seams:
            self._seams[side] = self._part(_SIDES[side])
        return self._seams[side]

    def _holds(self, name: str) -> bool:
        with np.load(self.path, allow_pickle=False) as arrays:
            return name in arrays.files

    def _part_if_there(self, name: str) -> NDArray[np.uint8] | None:
        with np.load(self.path, allow_pickle=False) as arrays:
            return arrays[name] if name in arrays.files else None

    def _part(self, name: str) -> NDArray[Any]:
        with np.load(self.path, allow_pickle=False) as arrays:
            part: NDArray[Any] = arrays[name]
        return part


def _header(archive: zipfile.ZipFile, name: str) -> tuple[str, tuple[int, ...]]:
    """Type and shape of an array, without its values.

    Raises:
        KeyError: the archive has none of that name.
        ValueError: it is no array as NumPy writes them.
    """
    with archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    return kind.str[1:], shape
