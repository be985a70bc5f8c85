"""A probe: a few chips of a run, mapped to see how long one takes, and in how much memory."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from geocamss.memory import Memory
from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.tiles import Block, Layout
from geocamss.strips import read_strips

__all__ = ["Probe"]

TRIED = 64
"""Places in the scene where a probe looks for something to map."""


@dataclass(frozen=True)
class Probe:
    """What was measured, with the model loaded."""

    process: int
    """Resident size of the process before the network had run, in bytes."""

    network: int
    """What the network takes for a batch, in bytes of the device's memory: beside ``process``
    where that is the machine's, and with its weights on a GPU."""

    seconds: float
    """Time that a tile takes, from reading to blending."""

    @classmethod
    def of(cls, run: Run) -> Probe:
        """Map one batch of chips twice: once to warm up and see the memory, once for the time.

        Raises:
            ReadError: the scene cannot be read.
            RunError: there is no memory for a single chip.
        """
        small = replace(run, block_tiles=(1, run.batch))
        layout, device = small.layout, run.segmenter.device
        with gdal_environment(run.scene.path, small.decoded), small.reader() as reader:
            source = small.pixels(reader)
            block = _busy_block(small)
            process = _resident()
            _forget_peak(device)
            small.engine.map_block(block, read_strips(source, layout, block))
            peak = _peak(device)
            start = time.perf_counter()
            small.engine.map_block(block, read_strips(source, layout, block))
            seconds = time.perf_counter() - start
        itemsize = reader.dtype.itemsize
        memory = Memory.of(
            run.segmenter.card,
            layout,
            small.batch,
            itemsize,
            doubt=run.doubt,
            probabilities=run.probabilities,
        )
        known = memory.on_device
        if device.type != "cuda":
            known += process
        return cls(process, max(0, peak - known), seconds / len(block.cols))


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


def _resident() -> int:
    """Resident size of this process, in bytes."""
    gc.collect()
    return _status("VmRSS")


def _peak(device: torch.device) -> int:
    """The largest size since ``_forget_peak``, in bytes of the device's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # not everywhere allowed; then the peak is that of the whole life
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(field: str) -> int:
    """A size from the operating system's account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the operating system does not tell {field}")
