"""The diffusion head of the paper: 1000 steps, cosine schedule, noise and variance learned.

The network is that of MAR (Li et al., "Autoregressive Image Generation without Vector
Quantization", 2024), built anew from its description; the loss is the hybrid one of Nichol and
Dhariwal ("Improved Denoising Diffusion Probabilistic Models", 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from geocamss.models.camss.head import Head, flow_loss, standard_normal
from geocamss.models.camss.layers import waves
from geocamss.models.camss.schedule import LAST_SAFE, TIMESTEPS, Level, cosine_signal

__all__ = ["DdpmHead", "hybrid_loss"]

_FREQUENCIES = 128
_SPAN = 1e-4
_REPEATS = 4
"""Noise levels that each token is trained at in one step: the transformer costs more."""


class _Layer(nn.Module):
    """A perceptron of constant width, modulated by the condition (AdaLN-Zero)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Sequential(nn.SiLU(), _zero(nn.Linear(width, 3 * width)))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulate(condition).chunk(3, dim=-1)  # 3 x (..., width)
        result: Tensor = x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)
        return result


class DdpmHead(Head):
    """Noisy latents, their timestep and their condition to the noise and the variance."""

    predicts_mean = False

    def __init__(self, latent: int, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.latent = latent
        self.latent_in = nn.Linear(latent, width)
        self.condition_in = nn.Linear(condition, width)
        self.time_in = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulate = nn.Sequential(nn.SiLU(), _zero(nn.Linear(width, 2 * width)))
        self.out = _zero(nn.Linear(width, 2 * latent))

    def forward(self, noisy: Tensor, timestep: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the noise, and where the variance lies between its bounds.

        Args:
            noisy: (..., latent) of unit variance.
            timestep: (...) or a scalar, 0 to 999; fractions are allowed.
            condition: (..., condition) from the transformer.

        Returns:
            Noise and fraction, each (..., latent) float32; the fraction is 0 to 1 when trained.
        """
        dtype = self.out.weight.dtype
        x = self.latent_in(noisy.to(dtype))  # (..., width)
        times = waves(timestep.float(), _FREQUENCIES, _SPAN).to(dtype)
        given = self.time_in(times) + self.condition_in(condition.to(dtype))  # (..., width)
        for layer in self.layers:
            x = layer(x, given)  # (..., width)
        shift, scale = self.modulate(given).chunk(2, dim=-1)  # 2 x (..., width)
        found = self.out(self.norm(x) * (1 + scale) + shift).float()  # (..., 2 * latent)
        noise, spread = found.chunk(2, dim=-1)
        return noise, (spread + 1) / 2

    def clean(self, noisy: Tensor, level: Level, condition: Tensor) -> Tensor:
        """Predict the data; see ``Head``.

        Beyond timestep 980 it is asked at 980: the data would be divided by almost nothing.
        """
        data, _ = self._at(noisy, level, condition, LAST_SAFE)
        return data

    def posterior(
        self, noisy: Tensor, level: Level, condition: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the data and the variance; see ``Head``. All timesteps are as learned."""
        return self._at(noisy, level, condition, TIMESTEPS - 1)

    def loss(self, data: Tensor, condition: Tensor, weight: Tensor, generator: Generator) -> Tensor:
        """The hybrid loss, at several timesteps a token; see ``Head``."""
        data, condition = (x.expand(_REPEATS, *x.shape) for x in (data, condition))
        weight = weight.expand(_REPEATS, *weight.shape)
        shape = weight.shape
        timestep = torch.randint(TIMESTEPS, shape, generator=generator).to(data.device)
        noise = standard_normal(data, generator)
        signal = torch.tensor(cosine_signal(), device=data.device)[timestep][..., None]
        noisy = data * signal.sqrt() + noise * (1 - signal).sqrt()
        found, where = self(noisy, timestep, condition)
        return hybrid_loss(
            found,
            where,
            noise=noise,
            noisy=noisy,
            data=data,
            timestep=timestep,
            weight=weight,
        )

    def _at(
        self, noisy: Tensor, level: Level, condition: Tensor, last: int
    ) -> tuple[Tensor, Tensor]:
        """Data and fraction at a level of any schedule, but at no timestep after ``last``."""
        length = math.hypot(level.alpha, level.sigma)
        signal = (level.alpha / length) ** 2
        timestep = min(_timestep(signal), float(last))
        signal = max(signal, cosine_signal()[last])
        noisy = noisy / length
        asked = torch.full((), timestep, device=noisy.device)
        noise, where = self(noisy, asked, condition)
        return (noisy - math.sqrt(1 - signal) * noise) / math.sqrt(signal), where


def hybrid_loss(
    found: Tensor,
    where: Tensor,
    *,
    noise: Tensor,
    noisy: Tensor,
    data: Tensor,
    timestep: Tensor,
    weight: Tensor,
) -> Tensor:
    """Squared error of the noise, plus the variational bound of the variance; a scalar.

    The bound of one random step out of 1000, times 1000, times the paper's 0.001. It teaches the
    variance alone: the mean gets no gradient from it. At timestep 0 it is the density of the data
    themselves: latents come in no steps, as colors do.

    Args:
        found: (..., latent) predicted noise.
        where: (..., latent) predicted place of the log variance between its bounds.
        noise: (..., latent), what the head should have said.
        noisy: (..., latent), what it was shown.
        data: (..., latent) the clean latents.
        timestep: (...) int64, 0 to 999.
        weight: (...), 0 where a token counts for nothing.
    """
    step = _Step.at(timestep)
    log_variance = where * step.upper + (1 - where) * step.lower
    guess = (noisy - (1 - step.signal).sqrt() * found.detach()) / step.signal.sqrt()
    # Both means have the same part of the noisy latent; they differ by that of the data.
    error = (step.to_data * (data - guess)).square() * torch.exp(-log_variance)
    ratio = step.lower - log_variance
    divergence = (torch.exp(ratio) - ratio - 1 + error) / 2
    density = (math.log(2 * math.pi) + log_variance + error) / 2
    bound = torch.where(timestep[..., None] > 0, divergence, density).mean(-1) / math.log(2)
    return flow_loss(found, noise, weight) + (bound * weight).sum() / weight.sum().clamp(min=1.0)


@dataclass(frozen=True)
class _Step:
    """Constants of the step from a timestep to the one before, each (..., 1) float32."""

    signal: Tensor
    """Square of alpha."""

    lower: Tensor
    """Logarithm of the variance if the data were known."""

    upper: Tensor
    """Logarithm of the variance if nothing were known of the data."""

    to_data: Tensor
    """Factor of the data in the step's mean."""

    @classmethod
    def at(cls, timestep: Tensor) -> _Step:
        """Look timesteps up, (...) int64."""
        # float64: 1 - alpha**2 has few digits left at the ends.
        table = torch.tensor(cosine_signal(), dtype=torch.float64, device=timestep.device)
        ahead = torch.cat([table.new_ones(1), table[:-1]])
        beta = 1 - table / ahead
        known = beta * (1 - ahead) / (1 - table)
        known[0] = known[1]  # 0 has no logarithm
        to_data = ahead.sqrt() * beta / (1 - table)
        columns = (table, known.log(), beta.log(), to_data)
        return cls(*(column[timestep].float()[..., None] for column in columns))


def _timestep(signal: float) -> float:
    """The timestep of a signal, between two of the table where it is not in there."""
    table = cosine_signal()
    if signal >= table[0]:
        return 0.0
    after = next((k for k, value in enumerate(table) if value <= signal), None)
    if after is None:
        return float(TIMESTEPS - 1)
    low, high = table[after], table[after - 1]
    return after - (signal - low) / (high - low)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
