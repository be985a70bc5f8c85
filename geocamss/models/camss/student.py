"""The one-step head: average velocities, so that a single call draws a sample.

MeanFlow (Geng et al., "Mean Flows for One-step Generative Modeling", 2025), with time running from
noise at 0 to data at 1, against the paper's. Where v is the velocity of the flow, its average from
time t to time r is u = (integral of v) / (r - t). Deriving (r - t) u by t along the flow gives
u = v + (r - t) du/dt, which is what the head is trained to fulfill.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.models.camss.head import flow_loss, logit_normal, standard_normal
from geocamss.models.camss.layers import ModulatedLayer, waves

__all__ = ["Average", "StudentHead", "mean_flow_loss", "mean_flow_target"]

_FREQUENCIES = 32
_SPAN = 16.0
"""Faster waves would make the derivative by time, and with it the target, enormous."""

Average = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x, t, r) to the average velocity from t to r; x is (..., latent), the times are (...)."""


class StudentHead(nn.Module):
    """Noisy latents, two times and the condition to the average velocity between the times."""

    def __init__(self, latent: int, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.latent_in = nn.Linear(latent, width)
        self.condition_in = nn.Linear(condition, width)
        self.time_in = nn.Sequential(
            nn.Linear(4 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = nn.ModuleList(ModulatedLayer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, noisy: Tensor, t: Tensor, r: Tensor, condition: Tensor) -> Tensor:
        """Predict average velocities.

        Args:
            noisy: (..., latent) float32, on the straight path at time ``t``.
            t: (...) or a scalar, 0 (noise) to 1 (data).
            r: Likewise, not before ``t``.
            condition: (..., condition) from the transformer.

        Returns:
            (..., latent) float32.
        """
        dtype = self.out.weight.dtype
        given = self.condition_in(condition.to(dtype))  # (..., width)
        x = self.latent_in(noisy.to(dtype)) + given  # (..., width)
        both = [waves(time.float(), _FREQUENCIES, _SPAN) for time in (t, r - t)]
        given = functional.silu(self.time_in(torch.cat(both, dim=-1).to(dtype)) + given)
        for layer in self.layers:
            x = layer(x, given)  # (..., width)
        result: Tensor = self.out(self.norm(x))  # (..., latent)
        return result.float()


def mean_flow_target(
    average: Average, x: Tensor, t: Tensor, r: Tensor, velocity: Tensor
) -> tuple[Tensor, Tensor]:
    """The average velocity as it is, and as it should be.

    Args:
        average: The average velocity.
        x: (..., latent) on the path at time ``t``.
        t: (...) times, 0 to 1.
        r: (...) times, not before ``t``.
        velocity: (..., latent), of the flow at x and t.

    Returns:
        Prediction, with gradients, and target, without; both (..., latent).
    """
    with warnings.catch_warnings():
        # torch's own forward derivatives still compile with what torch has deprecated.
        warnings.filterwarnings("ignore", ".*torch.jit.script", FutureWarning)
        found, change = torch.func.jvp(
            lambda place, time: average(place, time, r), (x, t), (velocity, torch.ones_like(t))
        )[:2]
    return found, velocity + (r - t)[..., None] * change.detach()


def mean_flow_loss(
    student: StudentHead, data: Tensor, condition: Tensor, weight: Tensor, generator: Generator
) -> Tensor:
    """Squared error of the MeanFlow identity at random pairs of times, a scalar.

    Args:
        student: The head.
        data: (..., latent), what should be drawn.
        condition: (..., condition) from the transformer.
        weight: (...), 0 where a token counts for nothing.
        generator: Of times and noise, on the CPU.
    """
    noise = standard_normal(data, generator)
    t, r = (time.to(data.device) for time in _times(weight.shape, generator))
    x = data * t[..., None] + noise * (1 - t)[..., None]

    def average(place: Tensor, time: Tensor, until: Tensor) -> Tensor:
        found: Tensor = student(place, time, until, condition)
        return found

    # Forward derivatives of half-precision products say little of small steps in time.
    with torch.autocast(data.device.type, enabled=False):
        condition = condition.float()
        found, target = mean_flow_target(average, x, t, r, data - noise)
    return flow_loss(found, target, weight)


def _times(shape: torch.Size, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pairs t <= r: half of them equal, the others apart, a fourth of all from end to end."""
    first, second = (logit_normal(torch.randn(shape, generator=generator)) for _ in range(2))
    kind = torch.rand(shape, generator=generator)
    t, r = torch.minimum(first, second), torch.maximum(first, second)
    r = torch.where(kind < 0.5, t, r)
    whole = kind >= 0.75
    return t.masked_fill(whole, 0.0), r.masked_fill(whole, 1.0)
