"""Places: where the labels of an image lie, however few they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

__all__ = ["Places"]

CELL = 32
"""Width and height of the squares that labels are counted in, in pixels."""


@dataclass(frozen=True)
class Places:
    """The labeled pixels of an image, counted by cells: one can be drawn without a list of all."""

    labels: Tensor
    """(H, W)."""

    ignored: int
    """What stands where there is no label."""

    up_to: Tensor
    """(cells,) int64: how many labeled pixels lie in a cell and all those before it, row by row."""

    area: int
    """Pixels of the cells that hold a label."""

    @classmethod
    def of(cls, labels: Tensor, ignored: int) -> Places:
        """Count labeled pixels.

        Args:
            labels: (H, W) of any type; not copied.
            ignored: What stands where there is no label.
        """
        height, width = labels.shape
        # Row of cells by row of cells: an image is large, and sums are wide.
        strips = (labels[row : row + CELL] != ignored for row in range(0, height, CELL))
        rows = [_sums(strip.sum(0)) for strip in strips]
        counts = torch.stack(rows)
        sides = [_sums(torch.ones(side, dtype=torch.int64)) for side in (height, width)]
        areas = sides[0][:, None] * sides[1][None, :]
        return cls(labels, ignored, counts.reshape(-1).cumsum(0), int(areas[counts > 0].sum()))

    @property
    def total(self) -> int:
        """How many pixels are labeled."""
        return int(self.up_to[-1])

    def draw(self, generator: Generator) -> tuple[int, int]:
        """Row and column of a labeled pixel; each is as likely as any other.

        Raises:
            ValueError: there is none.
        """
        if not self.total:
            raise ValueError("no pixel is labeled: none can be drawn")
        number = int(torch.randint(self.total, (), generator=generator))
        cell = int(torch.searchsorted(self.up_to, number, right=True))
        before = int(self.up_to[cell - 1]) if cell else 0
        down, right = divmod(cell, -(-self.labels.shape[1] // CELL))
        corner = down * CELL, right * CELL
        inside = self.labels[corner[0] : corner[0] + CELL, corner[1] : corner[1] + CELL]
        row, col = (inside != self.ignored).nonzero()[number - before].tolist()
        return corner[0] + row, corner[1] + col


def _sums(values: Tensor) -> Tensor:
    """Sums over stretches of a cell's width, the last of which may be shorter."""
    padded = functional.pad(values, (0, -len(values) % CELL))
    return padded.view(-1, CELL).sum(1)
