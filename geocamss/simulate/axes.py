"""Axes: the coordinates in which a landscape is planned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Doubles
from geocamss.simulate.noise import wave

__all__ = ["Axes"]


@dataclass(frozen=True)
class Axes:
    """Plan coordinates (p, q), in meters: the ground's, turned and gently bent."""

    angle: float
    """Turn, in radians."""

    bends: tuple[tuple[float, float, float], ...]
    """Amplitude in meters, wavelength in meters and phase of four waves: two of p, two of q."""

    @classmethod
    def draw(cls, dice: Dice, unit: float) -> Axes:
        """Straight in some landscapes, bent in most."""
        strength = dice.pick((0.0, 0.5, 1.0), (1.0, 1.0, 1.5))
        bends = []
        for share in (1.0, 0.5, 1.0, 0.5):
            length = dice.uniform(350, 800) * share * unit
            # The slope of a wave is at most 8 amplitudes a wavelength: 0.08 to 0.16 here.
            amplitude = strength * length * dice.uniform(0.01, 0.02)
            bends.append((amplitude, length, dice.uniform(0, 1)))
        return cls(angle=dice.uniform(0, math.pi), bends=tuple(bends))

    def to_plan(self, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        """Plan coordinates of ground points."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        u, v = cos * x + sin * y, cos * y - sin * x
        return u + self._bend(0, v, u), v + self._bend(2, u, v)

    def to_ground(self, p: Doubles, q: Doubles) -> tuple[Doubles, Doubles]:
        """Ground points of plan coordinates, to less than a millimeter."""
        u, v = p, q
        for _ in range(20):  # each round shrinks the error at least by half
            u, v = p - self._bend(0, v, u), q - self._bend(2, u, v)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * u - sin * v, sin * u + cos * v

    def _bend(self, first: int, along: Doubles, across: Doubles) -> Doubles:
        """The two waves of one axis; the second runs aslant, so that streets are not alike."""
        (a0, l0, f0), (a1, l1, f1) = self.bends[first : first + 2]
        if a0 == 0 and a1 == 0:
            return np.zeros_like(along)
        return a0 * wave(along / l0 + f0) + a1 * wave((along + 0.3 * across) / l1 + f1)
