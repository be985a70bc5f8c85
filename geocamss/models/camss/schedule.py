"""Noise levels: how much data and how much noise a latent holds on its way from one to the other.

At a level, x = alpha * data + sigma * noise. Only the ratio of the two tells levels apart: scaling
x carries one schedule's levels over to another's, so that any sampler can run on any head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

__all__ = ["CLEAN", "LAST_SAFE", "TIMESTEPS", "Level", "cosine", "cosine_signal", "straight"]

TIMESTEPS = 1000
"""Steps of the cosine schedule; timestep 0 is nearly data, 999 nearly noise."""

LAST_SAFE = 980
"""Beyond this timestep hardly any data is left, and predicting it divides by almost nothing."""

_OFFSET = 0.008
_MAX_BETA = 0.999


@dataclass(frozen=True)
class Level:
    """One noise level."""

    alpha: float
    """Factor of the data, 0 (noise alone) to 1."""

    sigma: float
    """Factor of the noise, 1 to 0 (data alone)."""

    def __post_init__(self) -> None:
        if not (0 <= self.alpha <= 1 and 0 <= self.sigma <= 1 and self.alpha + self.sigma > 0):
            raise ValueError(
                f"alpha and sigma must be 0 to 1, and not both 0, got {self.alpha}, {self.sigma}"
            )


CLEAN = Level(1.0, 0.0)
"""Data without noise: where every path ends."""


def straight(steps: int) -> list[Level]:
    """Evenly spaced levels of a rectified flow, alpha = t and sigma = 1 - t (Liu et al., 2022).

    Args:
        steps: How many, from 1.

    Returns:
        ``steps`` + 1 levels from noise to data.
    """
    return [Level(index / steps, 1 - index / steps) for index in range(steps + 1)]


@cache
def cosine_signal() -> tuple[float, ...]:
    """Squares of alpha by timestep, after Nichol and Dhariwal (2021), equation 17.

    The product of steps whose noise is capped, as theirs, not the cosine itself.
    """

    def wanted(step: int) -> float:
        return math.cos((step / TIMESTEPS + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2

    signal, product = [], 1.0
    for step in range(TIMESTEPS):
        product *= 1 - min(1 - wanted(step + 1) / wanted(step), _MAX_BETA)
        signal.append(product)
    return tuple(signal)


def cosine(steps: int, last: int = TIMESTEPS - 1) -> list[Level]:
    """Levels of the cosine schedule, respaced to fewer steps (Nichol and Dhariwal, 2021).

    Args:
        steps: How many, 1 to ``last`` + 1; timesteps are rounded, the first is ``last``.
        last: Timestep to start from, 0 to 999.

    Returns:
        ``steps`` + 1 levels from noise to data.

    Raises:
        ValueError: more steps are wanted than there are timesteps.
    """
    if not 1 <= steps <= last + 1:
        raise ValueError(f"steps must be 1 to {last + 1} on the cosine schedule, got {steps}")
    stride = last / (steps - 1) if steps > 1 else 0.0
    signal = cosine_signal()
    chosen = [signal[last - round(index * stride)] for index in range(steps)]
    return [*(Level(math.sqrt(s), math.sqrt(1 - s)) for s in chosen), CLEAN]
