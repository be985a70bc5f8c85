"""A run: everything that fixes a map, gathered and checked before any pixel is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import geocamss
from geocamss.engine import Engine, PixelSource
from geocamss.memory import Memory, writing_bytes
from geocamss.models.normalize import Normalizer
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.output.blocks import layers
from geocamss.output.disk import work_bytes
from geocamss.output.shaping import EXACT, Shaping
from geocamss.scene.band import SceneBand
from geocamss.scene.gdal import DECODED_BYTES, MOST_DECODED_BYTES
from geocamss.scene.grid import Grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.tiles import Lattice, Layout
from geocamss.scene.units import Units
from geocamss.scene.window import Window
from geocamss.sizes import block_tiles, evened, hands

__all__ = ["GridPixels", "Run"]


@dataclass(frozen=True)
class GridPixels:
    """The pixels of a scene on the output grid, and which of them to map."""

    reader: SceneReader
    """Reads the scene."""

    grid: Grid
    """Knows the area of interest."""

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (C, h, w) as stored, and their validity (h, w)."""
        return self.reader.read(window)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels lie in the area of interest, (h, w)."""
        return self.grid.inside(window)


@dataclass(frozen=True)
class Run:
    """All that fixes a map."""

    scene: Scene
    """Where the pixels come from."""

    segmenter: Segmenter
    """Turns chips into probabilities."""

    grid: Grid
    """Where the pixels go."""

    sampling: Sampling
    """How the segmenter draws."""

    batch: int
    """Chips at once."""

    units: tuple[Units | None, ...]
    """Scale and offset of each of the model's bands; None for a band where the card's count."""

    through: Callable[[PixelSource], PixelSource] | None = None
    """What the scene's pixels pass on their way to the model, such as the corruptions of an
    evaluation; None for nothing."""

    doubt: bool = False
    """Whether to find entropy and mutual information as well."""

    probabilities: bool = False
    """Whether to keep the probabilities of all classes."""

    confidence: bool = True
    """Whether to keep the probability of the likeliest class."""

    outputs: tuple[str, ...] = ()
    """What is to be made of the map; it takes memory, and changes no pixel."""

    shaping: Shaping = EXACT
    """What polygons are to be like."""

    block_tiles: tuple[int, int] | None = None
    """Rows and columns of tiles in a block, at most; None for what suits most machines."""

    memory: int | None = None
    """Bytes that blocks and batch were made to fit into; None for no limit."""

    hands: int = 1
    """Batches that the network is asked about side by side; it takes memory, and changes no
    pixel."""

    @property
    def planes(self) -> int:
        """Numbers that are summed up for each pixel."""
        return len(self.segmenter.card.classes) + self.doubt

    @property
    def layers(self) -> int:
        """Bytes that a finished block holds of each pixel."""
        classes = len(self.segmenter.card.classes)
        return layers(
            classes,
            confidence=self.confidence,
            doubt=self.doubt,
            probabilities=self.probabilities,
        )

    @property
    def work(self) -> int:
        """Bytes that the run takes on disk, before it cleans up."""
        return work_bytes(self.layout, self.planes, self.layers)

    @cached_property
    def layout(self) -> Layout:
        """The chips and blocks of the grid."""
        card = self.segmenter.card
        limits = self.block_tiles or self._block_tiles
        whole = Layout(Lattice.of(card), self.grid.origin, self.grid.shape, limits)
        sides = len(whole.tile_rows), len(whole.tile_cols)
        rows, cols = (evened(limit, side) for limit, side in zip(limits, sides, strict=True))
        return replace(whole, block_tiles=(rows, cols))

    @property
    def _block_tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles in a block, at most: fewer where each is drawn several times.

        A block that takes long is much to lose, and keeps a run waiting that is told to stop.
        """
        card = self.segmenter.card
        rows, cols = block_tiles(card)
        draws = self.sampling.samples * (self.sampling.rounds or card.rounds)
        return max(1, rows // draws), cols

    @cached_property
    def engine(self) -> Engine:
        """What maps a block."""
        return Engine(
            self.layout,
            self.segmenter,
            Normalizer.of(self.segmenter.card, self.units),
            self.sampling,
            self.batch,
            doubt=self.doubt,
            probabilities=self.probabilities,
            confidence=self.confidence,
            hands=self.hands,
        )

    def manned(self) -> Run:
        """The run with as many hands as its blocks keep busy."""
        card, (rows, cols) = self.segmenter.card, self.layout.block_tiles
        if self.segmenter.device.type != "cpu":
            return replace(self, hands=1)
        return replace(self, hands=hands(card, self.batch, rows * cols, torch.get_num_threads()))

    def peak_memory(self, process: int = 0, network: int = 0) -> Memory:
        """What the run holds at its peak.

        Args:
            process: resident size of the process with the model loaded, in bytes.
            network: what the network takes for a batch in each hand, beside what is in ``process``.
        """
        return Memory.of(
            self.segmenter.card,
            self.layout,
            self.batch,
            self.reader().dtype.itemsize,
            hands=self.hands,
            decoded=self.decoded,
            confidence=self.confidence,
            doubt=self.doubt,
            probabilities=self.probabilities,
            writing=writing_bytes(self.outputs),
            process=process,
            network=network,
        )

    @cached_property
    def bands(self) -> tuple[SceneBand, ...]:
        """The scene's bands that the model wants, in its order."""
        return self.scene.select(self.segmenter.card)

    def reader(self) -> SceneReader:
        """Opens the scene on the grid."""
        fill = self.engine.normalizer.fill
        return SceneReader(self.scene, self.bands, self.grid, fill, self.decoded)

    @cached_property
    def decoded(self) -> int:
        """Bytes of decoded tiles that GDAL is to keep, so that it decodes none twice."""
        if self.grid.aligned is None:
            return DECODED_BYTES
        block = self.layout.block(0, 0)
        width = self.layout.strip(block, block.rows.start).width
        needed = self.scene.decoded_bytes(self.bands, width)
        return min(max(needed, DECODED_BYTES), MOST_DECODED_BYTES)

    def pixels(self, reader: SceneReader) -> PixelSource:
        """What the engine sees of the scene."""
        plain = GridPixels(reader, self.grid)
        return plain if self.through is None else self.through(plain)

    @property
    def display_bands(self) -> tuple[SceneBand, ...]:
        """Red, green and blue, where the scene has them; else its first three bands, or one."""
        named = {band.name: band for band in self.bands}
        named |= {band.name: band for band in self.scene.bands if band.name not in named}
        if {"red", "green", "blue"} <= set(named):
            return named["red"], named["green"], named["blue"]
        bands = self.scene.bands
        return bands[:3] if len(bands) >= 3 else bands[:1]

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made the map, in plain values."""
        card = self.segmenter.card
        return {
            "software": f"geocamss {geocamss.__version__}",
            "scene": self.scene.path,
            "scene_fingerprint": self.scene.fingerprint,
            "bands": {band.name or band.label: band.index for band in self.bands},
            "model": card.name,
            "model_version": card.version,
            "model_fingerprint": self.segmenter.fingerprint,
            "steps": self.sampling.steps or card.steps,
            "samples": self.sampling.samples,
            "seed": self.sampling.seed,
            "sampler": self.sampling.sampler or card.sampler,
            "rounds": self.sampling.rounds or card.rounds,
            "guidance": (
                card.guidance if self.sampling.guidance is None else self.sampling.guidance
            ),
            "batch": self.batch,
            "chip": card.chip,
            "overlap": card.overlap,
        }

    @property
    def sizes(self) -> dict[str, Any]:
        """What ``budget.as_before`` chooses blocks and batch by, when the run is taken up again."""
        tiles = list(self.layout.block_tiles)
        return {
            "batch": self.batch,
            "block_tiles": tiles,
            "memory": self.memory,
            "hands": self.hands,
        }

    @cached_property
    def key(self) -> str:
        """Hash of all that fixes the finished blocks."""
        grid = self.grid
        where = [
            grid.crs.to_wkt() if grid.crs is not None else None,
            list(grid.transform)[:6],
            [grid.height, grid.width],
            list(grid.origin),
            grid.aoi.wkt if grid.aoi is not None else None,
            list(self.layout.block_tiles),
            str(self.segmenter.device),
            self.doubt,
            self.probabilities,
            self.confidence,
            astuple(self.shaping),
        ]
        text = json.dumps([self.provenance, where], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
