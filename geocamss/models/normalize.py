"""Stored numbers to network inputs, on the device where the network is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geocamss.modelcard import ModelCard

__all__ = ["Normalizer", "blank", "surely_all"]

LIMIT = 1e4
"""No input is farther from the mean, in standard deviations of the training data."""


@dataclass(frozen=True)
class Normalizer:
    """x ↦ x · gain + bias, by band: scaling to physical units and standardizing, in one step."""

    gain: tuple[float, ...]
    """One number a band."""

    bias: tuple[float, ...]
    """One number a band."""

    @classmethod
    def of(
        cls, card: ModelCard, declared: Sequence[tuple[float, float] | None] | None = None
    ) -> Normalizer:
        """The normalizer that a card asks for.

        Args:
            card: says scale, offset, mean and std.
            declared: scale and offset that the scene itself declares, by band; they replace the
                card's two. None for a band that declares nothing.
        """
        count = len(card.bands)
        own = list(zip(card.per_band("scale"), card.per_band("offset"), strict=True))
        said = declared if declared is not None else [None] * count
        units = [mine if theirs is None else theirs for mine, theirs in zip(own, said, strict=True)]
        standard = zip(units, card.per_band("mean"), card.per_band("std"), strict=True)
        pairs = [(scale / std, (offset - mean) / std) for (scale, offset), mean, std in standard]
        return cls(tuple(gain for gain, _ in pairs), tuple(bias for _, bias in pairs))

    @property
    def fill(self) -> tuple[float, ...]:
        """The stored number of each band that becomes 0."""
        return tuple(-bias / gain for gain, bias in zip(self.gain, self.bias, strict=True))

    def __call__(self, chips: Tensor, valid: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalize a batch.

        Args:
            chips: (B, C, H, W) stored numbers, any real type.
            valid: (B, H, W) bool, True = usable.
            out: (B, C, H, W) float32, where the result goes; None makes a new one.

        Returns:
            (B, C, H, W) float32 on the same device, within ``LIMIT`` of 0, and 0 where not valid.
        """
        if out is None:
            out = torch.empty(chips.shape, dtype=torch.float32, device=chips.device)
        # Band by band: one number for a whole plane is several times as fast as a column of them,
        # and a plane stays in a processor's cache.
        for band, (gain, bias) in enumerate(zip(self.gain, self.bias, strict=True)):
            plane = out[:, band]
            plane.copy_(chips[:, band])
            torch.add(torch.tensor(bias, dtype=torch.float32), plane, alpha=gain, out=plane)
            if _may_exceed(chips.dtype, gain, bias):
                # A float64 beyond float32 becomes infinite, and one such pixel spoils its chip.
                plane.clamp_(-LIMIT, LIMIT)
        return out if surely_all(valid) else blank(out, valid)


def blank(chips: Tensor, valid: Tensor) -> Tensor:
    """Make 0 what is not valid, even NaN; returns the chips, changed.

    Args:
        chips: (B, C, H, W) float32.
        valid: (B, H, W) bool, True = usable.
    """
    # Bit by bit: several times as fast as masked_fill_().
    chips.view(torch.int32).bitwise_and_(valid.to(torch.int32).neg_()[:, None])
    return chips


def _may_exceed(dtype: torch.dtype, gain: float, bias: float) -> bool:
    """Whether a stored number of a type can become more than ``LIMIT``, or no number at all."""
    if dtype.is_floating_point:
        return True
    limits = torch.iinfo(dtype)
    # Rounding moves nothing this far from the limit across it.
    return max(abs(gain * end + bias) for end in (limits.min, limits.max)) > 0.99 * LIMIT


def surely_all(valid: Tensor) -> bool:
    """True if everything is valid and that is quickly known; a GPU would have to be waited for."""
    return valid.device.type == "cpu" and bool(valid.numpy().all())
