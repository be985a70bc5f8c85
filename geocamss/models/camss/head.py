"""The flow-matching head: one small denoiser, run on each mask token by itself.

It predicts the data (the clean latent), not the velocity: at t = 0 that is the mean of what the
latent can be, which is what a map wants, and errors stay bounded as t approaches 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FlowHead", "flow_loss", "logit_normal"]

_FREQUENCIES = 32


def logit_normal(normal: Tensor) -> Tensor:
    """Times for training: more in the middle, few at the ends (Esser et al., 2024).

    Args:
        normal: Standard normal numbers, any shape.

    Returns:
        Times in (0, 1), shaped as the argument.
    """
    return torch.sigmoid(normal)


def flow_loss(predicted: Tensor, data: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of the predicted latents, a scalar.

    Args:
        predicted: (..., latent).
        data: (..., latent), what the head should have said.
        weight: (...), 0 where a token has no labeled pixel or was known.
    """
    error = (predicted.float() - data.float()).square().mean(-1)  # (...)
    return (error * weight).sum() / weight.sum().clamp(min=1.0)


class _Layer(nn.Module):
    """A perceptron whose scale, shift and gate depend on the condition (AdaLN-Zero, DiT, 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = self.modulate(condition).chunk(3, dim=-1)  # 3 x (..., width)
        result: Tensor = x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)
        return result


class FlowHead(nn.Module):
    """Noisy latents, their time and their condition to clean latents.

    The noisy latent is scaled by t / sqrt(t^2 + (1 - t)^2) on its way in. Given t this loses
    nothing, and at t = 0, where it is noise alone, it leaves no trace: the one-step prediction
    does not depend on the noise.
    """

    def __init__(self, latent: int, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.latent_in = nn.Linear(latent, width)
        self.condition_in = nn.Linear(condition, width)
        self.time_in = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, noisy: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Predict clean latents.

        Args:
            noisy: (B, h, w, latent).
            t: (B,) or (B, h, w) or a scalar, 0 (noise) to 1 (data).
            condition: (B, h, w, condition) from the transformer.

        Returns:
            (B, h, w, latent).
        """
        t = t.float().reshape(t.shape + (1,) * (4 - t.ndim)) if t.ndim else t.float()
        gain = t / torch.sqrt(t.square() + (1 - t).square())
        dtype = condition.dtype
        x = self.latent_in((noisy.float() * gain).to(dtype)) + self.condition_in(condition)
        waves = self._waves(t.reshape(-1) if t.ndim == 0 else t[..., 0]).to(dtype)
        given = functional.silu(self.time_in(waves) + self.condition_in(condition))
        for layer in self.layers:
            x = layer(x, given)  # (B, h, w, width)
        result: Tensor = self.out(self.norm(x))  # (B, h, w, latent)
        return result

    @staticmethod
    def _waves(t: Tensor) -> Tensor:
        """Sines and cosines of the time at growing frequencies, (..., 2 * _FREQUENCIES)."""
        steps = torch.arange(_FREQUENCIES, device=t.device, dtype=torch.float32)
        angles = t[..., None] * torch.exp(steps / _FREQUENCIES * math.log(1000.0))
        return torch.cat([angles.cos(), angles.sin()], dim=-1)
