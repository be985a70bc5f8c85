"""Heads: small denoisers, run on each mask token by itself.

``Head`` is what the samplers and the training ask of any of them. ``FlowHead``, the default,
predicts the data (the clean latent), not the velocity: at t = 0 that is the mean of what the latent
can be, which is what a map wants, and errors stay bounded as t approaches 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.models.camss.layers import ModulatedLayer, waves
from geocamss.models.camss.schedule import Level

__all__ = ["FlowHead", "Head", "flow_loss", "logit_normal", "standard_normal"]

_FREQUENCIES = 32
_SPAN = 1000.0


def logit_normal(normal: Tensor) -> Tensor:
    """Times for training: more in the middle, few at the ends (Esser et al., 2024).

    Args:
        normal: Standard normal numbers, any shape.

    Returns:
        Times in (0, 1), shaped as the argument.
    """
    return torch.sigmoid(normal)


def standard_normal(like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers from a generator on the CPU, shaped and placed as ``like``."""
    return torch.randn(like.shape, generator=generator).to(like.device)


def flow_loss(predicted: Tensor, data: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of the predicted latents, a scalar.

    Args:
        predicted: (..., latent).
        data: (..., latent), what the head should have said.
        weight: (...), 0 where a token has no labeled pixel or was known.
    """
    error = (predicted.float() - data.float()).square().mean(-1)  # (...)
    return (error * weight).sum() / weight.sum().clamp(min=1.0)


class Head(nn.Module, ABC):
    """Draws latents, given conditions of the transformer; token by token."""

    latent: int
    """Channels of a latent."""

    predicts_mean: bool
    """Whether the prediction from noise alone is the mean of the data: then it makes a map."""

    @abstractmethod
    def clean(self, noisy: Tensor, level: Level, condition: Tensor) -> Tensor:
        """Predict the data, whatever schedule the level is from.

        Args:
            noisy: (..., latent) float32, alpha * data + sigma * noise.
            level: The noise level, not that of clean data.
            condition: (..., condition) from the transformer.

        Returns:
            (..., latent) float32.
        """

    @abstractmethod
    def posterior(
        self, noisy: Tensor, level: Level, condition: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the data, and the variance of an ancestral step; see ``sampler.Posterior``.

        Args:
            noisy: (..., latent) float32.
            level: The noise level, not that of clean data.
            condition: (..., condition) from the transformer.

        Returns:
            (..., latent) float32, and the same shape in 0 to 1 or None.
        """

    @abstractmethod
    def loss(self, data: Tensor, condition: Tensor, weight: Tensor, generator: Generator) -> Tensor:
        """The head's own loss at random noise levels, a scalar.

        Args:
            data: (B, h, w, latent), what should be drawn.
            condition: (B, h, w, condition) from the transformer.
            weight: (B, h, w), 0 where a token has no labeled pixel or was known.
            generator: Of the levels and the noise, on the CPU.
        """


class FlowHead(Head):
    """Noisy latents, their time and their condition to clean latents.

    The noisy latent is scaled by t / sqrt(t^2 + (1 - t)^2) on its way in. Given t this loses
    nothing, and at t = 0, where it is noise alone, it leaves no trace: the one-step prediction
    does not depend on the noise.
    """

    predicts_mean = True

    def __init__(self, latent: int, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.latent = latent
        self.latent_in = nn.Linear(latent, width)
        self.condition_in = nn.Linear(condition, width)
        self.time_in = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(ModulatedLayer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, noisy: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Predict clean latents.

        Args:
            noisy: (B, h, w, latent), or (N, latent) with a scalar ``t``.
            t: (B,) or (B, h, w) or a scalar, 0 (noise) to 1 (data).
            condition: (B, h, w, condition) from the transformer, or (N, condition).

        Returns:
            (B, h, w, latent), or (N, latent).
        """
        t = t.float().reshape(t.shape + (1,) * (4 - t.ndim)) if t.ndim else t.float()
        gain = t / torch.sqrt(t.square() + (1 - t).square())
        dtype = condition.dtype
        x = self.latent_in((noisy.float() * gain).to(dtype)) + self.condition_in(condition)
        times = waves(t.reshape(-1) if t.ndim == 0 else t[..., 0], _FREQUENCIES, _SPAN).to(dtype)
        given = functional.silu(self.time_in(times) + self.condition_in(condition))
        for layer in self.layers:
            x = layer(x, given)  # (B, h, w, width)
        result: Tensor = self.out(self.norm(x))  # (B, h, w, latent)
        return result

    def clean(self, noisy: Tensor, level: Level, condition: Tensor) -> Tensor:
        """Predict the data; see ``Head``."""
        total = level.alpha + level.sigma
        if not math.isclose(total, 1.0, rel_tol=1e-12):
            noisy = noisy / total  # on the straight path, the level of the same ratio
        time = torch.full((), level.alpha / total, device=condition.device)
        result: Tensor = self(noisy, time, condition)
        return result.float()

    def posterior(
        self, noisy: Tensor, level: Level, condition: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the data; see ``Head``. This head knows no variances."""
        return self.clean(noisy, level, condition), None

    def loss(self, data: Tensor, condition: Tensor, weight: Tensor, generator: Generator) -> Tensor:
        """Flow matching; see ``Head``. Each token has its own time: the more, the smoother."""
        time = logit_normal(torch.randn(data.shape[:-1], generator=generator)).to(data.device)
        at = time[..., None]  # (B, h, w, 1)
        noisy = data * at + standard_normal(data, generator) * (1 - at)
        return flow_loss(self(noisy, time, condition), data, weight)
