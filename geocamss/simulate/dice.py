"""Dice: random numbers that depend on a seed and a name, and on nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from geocamss.simulate.frame import Doubles, Floats, Ints

__all__ = ["Dice"]

T = TypeVar("T")


class Dice:
    """A stream of random numbers for one part of a landscape.

    Each part has its own stream, so that drawing more trees moves no house. Only the generator's
    uniform doubles and raw bytes are used: those are the same on every machine and with every
    release of numpy, which the other distributions do not promise.
    """

    def __init__(self, seed: int, name: str) -> None:
        entropy = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
        self._random = np.random.Generator(np.random.PCG64(entropy))

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return float(low + (high - low) * self._random.random())

    def uniforms(self, low: float, high: float, size: int) -> Doubles:
        """Numbers in [low, high), float64 (size,)."""
        return low + (high - low) * self._random.random(size)

    def chance(self, probability: float) -> bool:
        """True with the probability given."""
        return bool(self._random.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, by weight."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        return options[int(self._indices(weights, 1)[0])]

    def picks(
        self, options: Sequence[T], size: int, weights: Sequence[float] | None = None
    ) -> list[T]:
        """Options drawn with replacement, by weight."""
        even = [1.0] * len(options) if weights is None else weights
        return [options[k] for k in self._indices(even, size)]

    def _indices(self, weights: Sequence[float], size: int) -> Ints:
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        drawn = self._random.random(size) * edges[-1]
        found: Ints = np.minimum(np.searchsorted(edges, drawn, side="right"), len(edges) - 1)
        return found

    def lattice(self, rows: int, columns: int) -> Floats:
        """Numbers in [-1, 1), float32 (rows, columns)."""
        return self._random.random((rows, columns)).astype(np.float32) * np.float32(2) - 1

    def bells(self, shape: tuple[int, ...]) -> Floats:
        """Bell-shaped numbers of mean 0 and standard deviation 1, float32.

        The sum of four random bytes: near a normal distribution, bounded, and exact everywhere.
        """
        count = int(np.prod(shape))
        raw = np.frombuffer(self._random.bytes(4 * count), dtype=np.uint32)
        pairs = (raw & np.uint32(0x00FF00FF)) + ((raw >> np.uint32(8)) & np.uint32(0x00FF00FF))
        total = (pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))
        # Four bytes have mean 510 and standard deviation sqrt(4 * (256**2 - 1) / 12).
        bells: Floats = (total.astype(np.float32) - np.float32(510)) * np.float32(1 / 147.8017)
        return bells.reshape(shape)
