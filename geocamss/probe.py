"""A probe: a few chips of a run, mapped to see how long one takes, and in how much memory."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Self

import torch

from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.tiles import Block, Layout
from geocamss.strips import read_strips

__all__ = ["Probe"]

TRIED = 64
"""Places in the scene where a probe looks for something to map."""

EVERY = 0.002
"""Seconds from one look at the memory to the next."""


@dataclass(frozen=True)
class Probe:
    """What was measured, with the model loaded."""

    process: int
    """Resident size of the process before the network had run, in bytes."""

    network: int
    """What the network takes for so many ``chips``, in bytes of the device's memory: beside
    ``process`` where that is the machine's, and with its weights on a GPU."""

    seconds: float
    """Time that a tile takes, from reading to blending."""

    chips: int = 1
    """How many the network worked on at once."""

    @classmethod
    def of(cls, run: Run) -> Probe:
        """Map a batch in each hand twice: once to warm up and see the memory, once for the time.

        Raises:
            ReadError: the scene cannot be read.
            RunError: there is no memory for a single chip.
        """
        chips = run.batch * run.hands
        wide = min(chips, len(run.layout.tile_cols))
        small = replace(run, block_tiles=(-(-chips // wide), wide))
        layout, device = small.layout, run.segmenter.device
        with gdal_environment(run.scene.path, small.decoded), small.reader() as reader:
            source = small.pixels(reader)
            block = _busy_block(small)
            process = _settled()
            with _Watch(device) as watch:
                small.engine.map_block(block, read_strips(source, layout, block))
            start = time.perf_counter()
            small.engine.map_block(block, read_strips(source, layout, block))
            seconds = time.perf_counter() - start
        known = small.peak_memory().on_device
        if device.type != "cuda":
            known += process
        tiles = len(block.rows) * len(block.cols)
        return cls(process, max(0, watch.peak - known), seconds / tiles, chips)


def _busy_block(run: Run) -> Block:
    """A block in the middle of the grid, or the next one that holds something to map."""
    layout: Layout = run.layout
    rows, cols = layout.block_shape
    places = sorted(
        ((row, col) for row in _spread(rows) for col in _spread(cols)),
        key=lambda place: abs(place[0] - rows // 2) + abs(place[1] - cols // 2),
    )
    for row, col in islice(places, TRIED):
        block = layout.block(row, col)
        if run.grid.inside(layout.reach(block)).any():
            return block
    return layout.block(rows // 2, cols // 2)


def _spread(count: int) -> list[int]:
    """Up to nine positions among ``count``, with the middle one."""
    step = max(1, count // 8)
    return sorted({*range(0, count, step), count // 2})


class _Watch(threading.Thread):
    """Looks how much memory is taken, again and again.

    The operating system keeps a peak of its own, but of the process's whole life; to make it forget
    would take that from those who measure the process from outside.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(name="geocamss-watch", daemon=True)
        self._device = device
        self._over = threading.Event()
        self.peak = 0
        """The largest size seen, in bytes of the device's memory."""

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        if self._device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self._device)

    def run(self) -> None:
        """Look until it is over, and once more."""
        going_on = True
        while going_on:
            going_on = not self._over.wait(EVERY)
            self.peak = max(self.peak, _resident())


def _settled() -> int:
    """Resident size of this process, less what only waits to be collected, in bytes."""
    gc.collect()
    return _resident()


def _resident() -> int:
    """Resident size of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
