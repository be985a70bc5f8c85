"""Noise as a function of seed, sample, step, position and channel.

An ordinary random generator hands out numbers in the order in which they are asked for, so that a
token's noise depends on the batch, the block and the machine, and a generative segmenter disagrees
with itself wherever chips overlap. Here every number is a hash of its coordinates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["gaussian", "uniform"]

# Odd constants of the SplitMix64 generator (Steele, Lea and Flood, 2014), as signed integers.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)

_HALF_WORD = 1 << 32

_ORDER = 0x5EED
"""Where the hash of ``uniform`` begins; that of ``gaussian`` begins with a seed, and mixes more."""


def gaussian(
    corners: Tensor,
    height: int,
    width: int,
    channels: int,
    *,
    seed: int,
    sample: int = 0,
    step: int = 0,
) -> Tensor:
    """Draw independent standard normal numbers for a batch of token grids.

    Args:
        corners: (B, 2) int64, row and column of each grid's first token in the global lattice.
        height: Tokens down.
        width: Tokens across.
        channels: Numbers a token.
        seed: Chooses the noise, 0 to 2**63 - 1.
        sample: Number of the draw, where several are averaged.
        step: Number of the sampler's step.

    Returns:
        (B, height, width, channels) float32, on the device of ``corners``. An entry depends on its
        global row and column, its channel, seed, sample and step, and on nothing else.
    """
    device = corners.device
    state = torch.full((1,), seed, dtype=torch.int64, device=device)
    state = _absorb(_mix(state + _GOLDEN), torch.full_like(state, sample))
    state = _absorb(state, torch.full_like(state, step))
    state = _absorb_positions(state, corners, height, width)[..., None]
    state = _absorb(state, torch.arange(channels, device=device))
    return _box_muller(state)


def uniform(corners: Tensor, height: int, width: int) -> Tensor:
    """One number for each token of a batch of grids, whatever the seed.

    Args:
        corners: (B, 2) int64, row and column of each grid's first token in the global lattice.
        height: Tokens down.
        width: Tokens across.

    Returns:
        (B, height, width) float64, evenly spread over [0, 1), on the device of ``corners``.
    """
    state = torch.full((1,), _ORDER, dtype=torch.int64, device=corners.device)
    word = _absorb_positions(_mix(_mix(state)), corners, height, width)
    return _shift(word, 11).double() / (1 << 53)


def _absorb_positions(state: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """Stir in the global rows and columns of a batch of grids; (1,) to (B, height, width)."""
    corners = corners.to(torch.int64)
    rows = corners[:, 0, None] + torch.arange(height, device=corners.device)
    cols = corners[:, 1, None] + torch.arange(width, device=corners.device)
    return _absorb(_absorb(state, rows[:, :, None]), cols[:, None, :])


def _absorb(state: Tensor, value: Tensor) -> Tensor:
    """Stir ``value`` into the hash; both broadcast.

    Multiplying before adding keeps (state, value) pairs with the same sum apart.
    """
    return _mix(state * _MIX_1 + (value + 1) * _GOLDEN)


def _mix(word: Tensor) -> Tensor:
    """Finalizer of SplitMix64: every input bit changes every output bit with chance 1/2."""
    word = (word ^ _shift(word, 30)) * _MIX_1
    word = (word ^ _shift(word, 27)) * _MIX_2
    return word ^ _shift(word, 31)


def _shift(word: Tensor, bits: int) -> Tensor:
    """Logical right shift; that of torch drags the sign along."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _box_muller(word: Tensor) -> Tensor:
    """Two uniform numbers from the halves of a word, one normal number from them.

    float64 throughout: devices differ in its last bits only, which float32 then hides.
    """
    high = (_shift(word, 32).double() + 0.5) / _HALF_WORD  # (0, 1): the logarithm stays finite
    low = (word & (_HALF_WORD - 1)).double() / _HALF_WORD  # [0, 1)
    return (torch.sqrt(-2 * torch.log(high)) * torch.cos(2 * math.pi * low)).float()
