"""Channels drawn anew for every chip: duplicated to the wanted number, and shuffled.

What stands where says nothing then, so that only what the channels have in common, the structure of
the ground, helps to solve the task ("CSP: channel-shuffling pretraining", 2026).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["draw_channels", "place_channels"]


def draw_channels(bands: int, count: int, generator: Generator, *, shuffle: bool = True) -> Tensor:
    """Which band each channel shows.

    Bands are repeated in turn, from a random one on, until there are enough, and then shuffled.
    With fewer channels than bands a random choice of these is shown, each once.

    Args:
        bands: Of the image.
        count: Channels wanted.
        generator: Source of randomness.
        shuffle: False keeps the bands in order, beginning with the first: the control.

    Returns:
        (count,) int64, 0 to ``bands`` - 1; every band is there if ``count`` is at least ``bands``.
    """
    if not shuffle:
        return torch.arange(count) % bands
    if count < bands:
        return torch.randperm(bands, generator=generator)[:count]
    first = int(torch.randint(bands, (), generator=generator))
    repeated = (torch.arange(count) + first) % bands
    return repeated[torch.randperm(count, generator=generator)]


def place_channels(image: Tensor, slots: int, generator: Generator, *, shuffle: bool) -> Tensor:
    """Fill the encoder's inputs where an image has fewer channels than these.

    The channels go to random inputs, the others are zero; the whole is scaled up, so that the
    first layer's sums stay as large.

    Args:
        image: (C, H, W), normalized.
        slots: Inputs of the encoder, at least C.
        generator: Source of randomness.
        shuffle: False fills the first inputs.

    Returns:
        (slots, H, W).
    """
    count = len(image)
    if count == slots:
        return image
    order = torch.randperm(slots, generator=generator)[:count] if shuffle else torch.arange(count)
    whole = image.new_zeros(slots, *image.shape[1:])
    whole[order] = image * (slots / count)
    return whole
