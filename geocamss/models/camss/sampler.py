"""Samplers of a rectified flow whose denoiser predicts the data, as free functions.

The flow runs from noise at t = 0 to data at t = 1 on straight lines, x_t = t x_1 + (1 - t) x_0
(Liu, Gong and Liu, "Flow Straight and Fast", 2022; Lipman et al., "Flow Matching for Generative
Modeling", 2023). A denoiser D(x, t) estimates E[x_1 | x_t = x]; the velocity is then
v = (D(x, t) - x) / (1 - t). Papers that put the data at t = 0 have the sign the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

__all__ = ["Denoiser", "euler", "heun", "times"]

Denoiser = Callable[[Tensor, float], Tensor]
"""(x_t, t) to the expected data; t is 0 to 1, exclusive of 1."""


def times(steps: int) -> list[float]:
    """Evenly spaced times 0 to 1, ``steps`` + 1 of them."""
    return [index / steps for index in range(steps + 1)]


def euler(denoise: Denoiser, noise: Tensor, steps: int) -> Tensor:
    """Euler's method, the sampler of Liu et al. (2022): one denoiser call a step.

    A single step returns the denoiser's prediction at t = 0, the mean of the data.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        steps: How many, from 1.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    grid = times(steps)
    for t, t_next in pairwise(grid):
        x = _advance(x, denoise(x, t), t, t_next)
    return x


def heun(denoise: Denoiser, noise: Tensor, steps: int) -> Tensor:
    """Heun's method, second order, after Karras et al. (2022), algorithm 1 without churn.

    Two denoiser calls a step, except in the last one: at t = 1 the velocity has no value.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        steps: How many, from 1.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    grid = times(steps)
    for t, t_next in pairwise(grid):
        data = denoise(x, t)
        x_next = _advance(x, data, t, t_next)
        if t_next < 1:
            here = (data - x) / (1 - t)
            there = (denoise(x_next, t_next) - x_next) / (1 - t_next)
            x_next = x + (t_next - t) * (here + there) / 2
        x = x_next
    return x


def _advance(x: Tensor, data: Tensor, t: float, t_next: float) -> Tensor:
    """Go straight toward the predicted data, from t to t_next.

    Written as a weighted mean: a step to t = 1 then lands on the data to the last bit.
    """
    weight = (t_next - t) / (1 - t)
    return data if t_next >= 1 else x * (1 - weight) + data * weight
