"""Samplers: one free function an algorithm, from noise to a latent along a path of noise levels.

A denoiser D(x, level) estimates the data in x = alpha * data + sigma * noise. Papers that put the
data at t = 0 have the sign of time the other way round: here every path runs from noise to data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from geocamss.models.camss.schedule import Level

__all__ = [
    "AverageVelocity",
    "Denoiser",
    "Posterior",
    "ddim",
    "ddpm",
    "dpm_solver",
    "euler",
    "heun",
    "mean_flow",
]

Denoiser = Callable[[Tensor, Level], Tensor]
"""(x, level) to the expected data; never asked at the level of clean data."""

Posterior = Callable[[Tensor, Level], tuple[Tensor, Tensor | None]]
"""(x, level) to the expected data, and where between its bounds the logarithm of a step's variance
lies, 0 to 1, shaped as x; None takes the lower bound."""

AverageVelocity = Callable[[Tensor, float, float], Tensor]
"""(x, t, r) to the mean velocity of the flow from time t to time r, 0 (noise) to 1 (data)."""


def euler(denoise: Denoiser, noise: Tensor, levels: Sequence[Level]) -> Tensor:
    """Euler's method for a rectified flow (Liu et al., 2022): one denoiser call a step.

    A single step returns the denoiser's prediction at t = 0, the mean of the data.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        levels: A straight path, as ``schedule.straight`` gives it.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    for level, after in _straight_pairs(levels):
        x = _advance(x, denoise(x, level), level.alpha, after.alpha)
    return x


def heun(denoise: Denoiser, noise: Tensor, levels: Sequence[Level]) -> Tensor:
    """Heun's method, second order, after Karras et al. (2022), algorithm 1 without churn.

    Two denoiser calls a step, except in the last one: at t = 1 the velocity has no value.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        levels: A straight path, as ``schedule.straight`` gives it.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    for level, after in _straight_pairs(levels):
        t, t_next = level.alpha, after.alpha
        data = denoise(x, level)
        x_next = _advance(x, data, t, t_next)
        if t_next < 1:
            here = (data - x) / (1 - t)
            there = (denoise(x_next, after) - x_next) / (1 - t_next)
            x_next = x + (t_next - t) * (here + there) / 2
        x = x_next
    return x


def ddim(denoise: Denoiser, noise: Tensor, levels: Sequence[Level]) -> Tensor:
    """Denoising diffusion implicit model, eta = 0 (Song et al., 2021): one call a step.

    First order; along a straight path it is Euler's method.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        levels: Any path from noise to data.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    for level, after in pairwise(levels):
        x = _toward(x, denoise(x, level), level, after)
    return x


def dpm_solver(denoise: Denoiser, noise: Tensor, levels: Sequence[Level]) -> Tensor:
    """DPM-Solver++(2M), algorithm 2 of Lu et al. (2022): one call a step, second order.

    The data that the last two calls predicted are extrapolated in lambda = log(alpha / sigma).
    Steps from pure noise and to clean data are infinite in lambda, and stay of first order.

    Args:
        denoise: The denoiser.
        noise: Standard normal noise, any shape.
        levels: Any path from noise to data.

    Returns:
        A sample, shaped as the noise.
    """
    x, before, last_step = noise, None, math.inf
    for level, after in pairwise(levels):
        data = denoise(x, level)
        step = _log_ratio(after) - _log_ratio(level)
        smooth = data
        if before is not None and math.isfinite(step) and math.isfinite(last_step):
            smooth = data + (step / (2 * last_step)) * (data - before)
        x = _toward(x, smooth, level, after)
        before, last_step = data, step
    return x


def ddpm(
    posterior: Posterior, noise: Tensor, levels: Sequence[Level], fresh: Callable[[int], Tensor]
) -> Tensor:
    """Ancestral sampling (Ho et al., 2020), with learned variances (Nichol and Dhariwal, 2021).

    Each step draws from q(x' | x, data) with the predicted data. Its variance lies between that of
    a known datum and that of the forward step; nothing is clipped.

    Args:
        posterior: The denoiser, with variances if it has learned any.
        noise: Standard normal noise, any shape.
        levels: Any path from noise to data.
        fresh: Standard normal noise of a step by its number, from 1, shaped as ``noise``.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    for number, (level, after) in enumerate(pairwise(levels), start=1):
        data, where = posterior(x, level)
        if after.sigma == 0:
            return data
        upper = level.sigma**2 - (level.alpha / after.alpha * after.sigma) ** 2
        lower = upper * (after.sigma / level.sigma) ** 2
        kept = math.sqrt(max(after.sigma**2 - lower, 0.0))
        x = after.alpha * data + kept * (x - level.alpha * data) / level.sigma
        spread: Tensor | float = math.sqrt(lower)
        if where is not None:
            spread = torch.exp((where * math.log(upper) + (1 - where) * math.log(lower)) / 2)
        x = x + spread * fresh(number)
    return x


def mean_flow(average: AverageVelocity, noise: Tensor, steps: int) -> Tensor:
    """MeanFlow (Geng et al., 2025): average velocities span a step exactly, even a single one.

    Args:
        average: The average velocity.
        noise: Standard normal noise, any shape.
        steps: How many, from 1.

    Returns:
        A sample, shaped as the noise.
    """
    x = noise
    for index in range(steps):
        t, r = index / steps, (index + 1) / steps
        x = x + (r - t) * average(x, t, r)
    return x


def _straight_pairs(levels: Sequence[Level]) -> list[tuple[Level, Level]]:
    for level in levels:
        if abs(level.alpha + level.sigma - 1) > 1e-9:
            raise ValueError(f"wants levels of a straight path, alpha + sigma = 1, got {level}")
    return list(pairwise(levels))


def _advance(x: Tensor, data: Tensor, t: float, t_next: float) -> Tensor:
    """Go straight toward the predicted data, from t to t_next.

    Written as a weighted mean: a step to t = 1 then lands on the data to the last bit.
    """
    weight = (t_next - t) / (1 - t)
    return data if t_next >= 1 else x * (1 - weight) + data * weight


def _toward(x: Tensor, data: Tensor, level: Level, after: Level) -> Tensor:
    """Keep the noise that is in x, and go to another level with it."""
    if after.sigma == 0:
        return data
    keep = after.sigma / level.sigma
    return keep * x + (after.alpha - keep * level.alpha) * data


def _log_ratio(level: Level) -> float:
    if level.alpha == 0 or level.sigma == 0:
        return -math.inf if level.alpha == 0 else math.inf
    return math.log(level.alpha / level.sigma)
