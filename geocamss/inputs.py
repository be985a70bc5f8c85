"""Inputs: chips on their way from strips to the network, in memory that is used again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geocamss.models.normalize import Normalizer
from geocamss.scene.tiles import Lattice
from geocamss.strips import Chip

__all__ = ["Inputs"]


class Inputs:
    """A batch of chips, normalized, on the network's device.

    Fresh memory for every batch would cost as much as the sums done in it: the operating system
    has to clear each page. A batch that is not full keeps what it held behind its end, since
    kernels choose their arithmetic by shape.
    """

    def __init__(
        self, lattice: Lattice, normalizer: Normalizer, batch: int, device: torch.device
    ) -> None:
        """Make room.

        Args:
            lattice: how large chips are.
            normalizer: stored numbers to network inputs.
            batch: chips at once.
            device: where the network is.
        """
        self._lattice = lattice
        self._normalizer = normalizer
        self._size = batch, len(normalizer.gain), lattice.chip, lattice.chip
        self._chips = torch.zeros(self._size, device=device)
        self._valid = torch.zeros(batch, *self._size[2:], dtype=torch.bool, device=device)
        self._corners = torch.zeros(batch, 2, dtype=torch.int64)
        self._stages: list[_Stage] = []
        self._turn = 0

    def fill(self, chips: Sequence[Chip]) -> tuple[Tensor, Tensor, Tensor]:
        """Take the next chips.

        Returns:
            What a segmenter wants: chips (B, C, chip, chip), validity (B, chip, chip), and corners
            in the global lattice (B, 2). They hold until the next call.
        """
        for index, chip in enumerate(chips):
            place = self._lattice.chip_window(chip.tile)
            self._corners[index, 0], self._corners[index, 1] = place.row, place.col
        if self._chips.device.type == "cuda":
            self._send(chips)
        else:
            for index, chip in enumerate(chips):
                part = slice(index, index + 1)
                self._valid[part].copy_(torch.from_numpy(chip.valid))
                for rows, pixels in chip.pixels:
                    stored = torch.from_numpy(pixels)[None].to(self._chips.device)
                    self._normalizer(stored, self._valid[part, rows], self._chips[part, :, rows])
        return self._chips, self._valid, self._corners

    def _send(self, chips: Sequence[Chip]) -> None:
        """Hand chips to a GPU as they are stored, while it is still busy with those before."""
        if not self._stages:
            stored = torch.from_numpy(chips[0].strip.pixels[0]).dtype
            self._stages = [_Stage(self._size, stored, self._chips.device) for _ in range(2)]
        self._turn = 1 - self._turn
        stage = self._stages[self._turn]
        pixels, valid = stage.send(chips)
        self._valid.copy_(valid)
        self._normalizer(pixels, self._valid, self._chips)


class _Stage:
    """Page-locked memory from which a GPU fetches a batch by itself, and where it puts it."""

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        mask = size[0], *size[2:]
        self._pixels = torch.zeros(size, dtype=dtype).pin_memory()
        self._valid = torch.zeros(mask, dtype=torch.bool).pin_memory()
        self._there = torch.zeros(size, dtype=dtype, device=device)
        self._there_valid = torch.zeros(mask, dtype=torch.bool, device=device)
        # Torch gives this class no types.
        self._fetched: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def send(self, chips: Sequence[Chip]) -> tuple[Tensor, Tensor]:
        """Copy chips, and let the GPU fetch them; returns pixels and validity as they will be."""
        self._fetched.synchronize()  # of two batches ago: what lies here has gone
        pixels, valid = self._pixels.numpy(), self._valid.numpy()
        for index, chip in enumerate(chips):
            for rows, part in chip.pixels:
                np.copyto(pixels[index, :, rows], part)
            np.copyto(valid[index], chip.valid)
        self._there.copy_(self._pixels, non_blocking=True)
        self._there_valid.copy_(self._valid, non_blocking=True)
        self._fetched.record(torch.cuda.current_stream(self._there.device))
        return self._there, self._there_valid
