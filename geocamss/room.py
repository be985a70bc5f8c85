"""How many chips a device has memory for: tried out beforehand, and learned on the way."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from geocamss.errors import GeocamssWarning, RunError
from geocamss.models.segmenter import Sampling, Segmenter

__all__ = ["Room", "is_out_of_memory", "largest_batch"]


@dataclass
class Room:
    """How many chips the memory has room for at once, as far as is known."""

    chips: int
    """At most the batch that was asked for; less after memory ran out."""

    narrow: bool = False
    """Whether memory has run out for several batches side by side."""

    def go_alone(self) -> None:
        """Go on with one batch after the other."""
        self.narrow = True
        warnings.warn(
            "there is no memory to ask the network about several batches side by side: the run "
            "goes on with one after the other",
            GeocamssWarning,
            stacklevel=2,
        )

    def halve(self, model: str, error: Exception) -> None:
        """Go on with fewer chips.

        Raises:
            RunError: it was one chip already.
        """
        if self.chips == 1:
            raise RunError(
                f"the memory of the device is too small for one chip of model {model!r} "
                f"({_first_line(error)}); close other programs, or choose another device"
            ) from error
        before, self.chips = self.chips, self.chips // 2
        warnings.warn(
            f"there is no memory for {before} chips at once: the run goes on with {self.chips}; "
            f"--batch-size {self.chips} asks for no more from the start",
            GeocamssWarning,
            stacklevel=2,
        )


def is_out_of_memory(error: Exception) -> bool:
    """True if an error of torch or Python says that memory has run out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The allocator of processors has no error of its own, but says its name.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


@torch.inference_mode()
def largest_batch(segmenter: Segmenter, sampling: Sampling, most: int) -> int:
    """The largest power of two of chips, up to ``most``, for which the device has memory.

    Raises:
        RunError: it has none for a single chip.
    """
    card, device = segmenter.card, segmenter.device
    found, count = 0, 1
    while count <= most:
        shape = count, len(card.bands), card.chip, card.chip
        try:
            chips = torch.zeros(shape, device=device)
            valid = torch.ones(count, *shape[2:], dtype=torch.bool, device=device)
            segmenter(chips, valid, torch.zeros(count, 2, dtype=torch.int64), sampling)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if not found:
                Room(1).halve(card.name, error)
            break
        found, count = count, 2 * count
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
