"""Memory: what a run will take, from sizes alone, before it starts.

Nearly all here is a pure function of sizes, in bytes. What sizes cannot tell, the process with the
model loaded and the network at work, is measured and handed in.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from geocamss.modelcard import ModelCard
from geocamss.output.blocks import layers
from geocamss.scene.gdal import DECODED_BYTES
from geocamss.scene.tiles import Layout

__all__ = ["READ_AHEAD", "Memory", "machine_bytes", "writing_bytes"]

READ_AHEAD = 2
"""Strips that wait, read, for the segmenter."""

FILES_BYTES = 24 * 2**20
"""What writing the outputs takes beyond the block in hand: encoders, tables, buffers."""

WRITING = {"polygons": 60, "project": 20, "preview": 40, "page": 45}
"""Megabytes that an output takes when the map is finished: for its libraries, which stay, and for
what it is made of. Others take hardly any. Polygons of a map of noise, of which there is one for a
few pixels, take several times as much; nobody knows of them before the map is there."""

BAND_BYTES = 2**20
"""What GDAL holds of each band besides while it writes a raster of many: four tiles."""


@dataclass(frozen=True)
class Memory:
    """What a run holds at its peak, in bytes of the machine's memory or of the device's."""

    process: int
    """Python, the libraries and the loaded model."""

    network: int
    """What the network needs to map a batch, or several side by side; on a GPU, its weights too."""

    inputs: int
    """Batches on their way to the network, and what is added up from them."""

    strips: int
    """Pixels that are read, and wait."""

    decoded: int
    """GDAL's decoded TIFF tiles."""

    sums: int
    """Running sums of a strip."""

    blocks: int
    """A block that is made, and the one before it that is being written."""

    files: int
    """What writing the outputs takes, beyond what the mapping has given back by then."""

    @classmethod
    def of(
        cls,
        card: ModelCard,
        layout: Layout,
        batch: int,
        itemsize: int,
        *,
        hands: int = 1,
        decoded: int = DECODED_BYTES,
        confidence: bool = True,
        doubt: bool = False,
        probabilities: bool = False,
        writing: int = 0,
        process: int = 0,
        network: int = 0,
    ) -> Memory:
        """What mapping takes.

        Args:
            card: of the model.
            layout: the grid and its blocks.
            batch: chips at once.
            itemsize: bytes of a pixel of one band, as it is read.
            hands: batches that are asked about side by side.
            decoded: bytes of decoded tiles that GDAL keeps at most.
            confidence: whether it is kept.
            doubt: whether entropy and mutual information are found as well.
            probabilities: whether those of all classes are kept.
            writing: what the outputs take when all is mapped; see ``writing_bytes``.
            process: resident size of the process with the model loaded.
            network: what the network takes for a batch in each hand, beside what is in ``process``.
        """
        bands, planes, chip = len(card.bands), len(card.classes) + doubt, card.chip
        block = layout.block(0, 0)
        width = layout.strip(block, block.rows.start).width
        area = layout.interior(block).area
        held = layers(
            len(card.classes), confidence=confidence, doubt=doubt, probabilities=probabilities
        )
        seams = sum(seam.area for seam in layout.seams(layout.block(*_middle(layout))))
        shares = len(card.classes) * probabilities
        scene = layout.shape[0] * layout.shape[1] * max(bands * itemsize, shares)
        # One strip waits in each place ahead; one is used, one goes on in it, one is being read.
        strips = min(READ_AHEAD + 3, len(layout.tile_rows) + 1)
        pixels = (strips * layout.lattice.step + card.overlap) * width * bands * itemsize
        masks = strips * chip * width * 3  # validity twice, and a mask on the way
        blocks = min(2, len(list(layout.blocks()))) * (held * area + 2 * planes * seams)
        return cls(
            process,
            network,
            hands * batch * chip**2 * (4 * bands + 1) + 6 * chip**2,
            pixels + masks,
            min(decoded, scene),
            planes * chip * width * 2,
            blocks,
            FILES_BYTES + shares * BAND_BYTES + max(0, writing - pixels - masks - blocks),
        )

    @property
    def ram(self) -> int:
        """The machine's memory where the network runs on its processor."""
        return self.beside_gpu + self.on_device

    @property
    def beside_gpu(self) -> int:
        """The machine's memory where the network runs on a GPU."""
        return self.process + self.strips + self.decoded + self.blocks + self.files

    @property
    def on_device(self) -> int:
        """What lies where the network runs."""
        return self.network + self.inputs + self.sums


def writing_bytes(outputs: Collection[str]) -> int:
    """What making these outputs of a finished map takes."""
    return sum(WRITING.get(name, 0) for name in outputs) * 10**6


def machine_bytes() -> int:
    """The memory that this process can ever have: the machine's, or its control group's."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        found.append(int(text))
    return min(found)


def _middle(layout: Layout) -> tuple[int, int]:
    """The block with the most neighbors."""
    rows, cols = layout.block_shape
    return rows // 2, cols // 2
