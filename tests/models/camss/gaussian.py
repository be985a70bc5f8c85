"""A target whose denoiser and flow are known in closed form: data of one normal distribution."""

from __future__ import annotations

import math

import torch

from geocamss.models.camss.schedule import Level

MEAN, SPREAD = 1.5, 0.3


def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
    """E[data | x] for data of N(MEAN, SPREAD**2): Bayes' rule for Gaussians."""
    variance = level.alpha**2 * SPREAD**2 + level.sigma**2
    return MEAN + level.alpha * SPREAD**2 / variance * (x - level.alpha * MEAN)


def posterior(x: torch.Tensor, level: Level) -> tuple[torch.Tensor, None]:
    """The same, with no word on variances."""
    return denoise(x, level), None


def carried(x: torch.Tensor, level: Level, after: Level) -> torch.Tensor:
    """The flow from one level to another is affine, and keeps every quantile."""
    return after.alpha * MEAN + spread(after) / spread(level) * (x - level.alpha * MEAN)


def spread(level: Level) -> float:
    """Standard deviation of what there is at a level."""
    return math.hypot(level.alpha * SPREAD, level.sigma)


def noise(count: int = 20_000) -> torch.Tensor:
    """Standard normal numbers, always the same."""
    return torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
