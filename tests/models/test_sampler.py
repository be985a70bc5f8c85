"""Laws of the samplers, on a target whose denoiser is known in closed form."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from geocamss.models.camss.sampler import euler, heun, times

MEAN, SPREAD = 1.5, 0.3
SAMPLERS = [euler, heun]


def denoise(x: torch.Tensor, t: float) -> torch.Tensor:
    """E[data | x_t = x] for data of N(MEAN, SPREAD**2): Bayes' rule for Gaussians."""
    variance = t * t * SPREAD**2 + (1 - t) ** 2
    return MEAN + t * SPREAD**2 / variance * (x - t * MEAN)


def noise(count: int = 20_000) -> torch.Tensor:
    return torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def exact(x: torch.Tensor) -> torch.Tensor:
    """The flow from N(0, 1) to N(MEAN, SPREAD**2) is affine, and keeps every quantile."""
    return MEAN + SPREAD * x


def test_times_run_from_noise_to_data():
    assert times(4) == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_is_the_prediction_at_time_zero(sampler):
    x = noise()
    assert torch.equal(sampler(denoise, x, 1), denoise(x, 0.0))
    assert torch.allclose(sampler(denoise, x, 1), torch.full_like(x, MEAN))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_many_steps_reach_the_closed_form(sampler):
    x = noise()
    assert (sampler(denoise, x, 400) - exact(x)).abs().max() < 0.02
    assert stats.kstest(sampler(denoise, x, 400).numpy(), "norm", (MEAN, SPREAD)).pvalue > 1e-3


def test_euler_follows_its_own_recursion():
    x = noise(100)
    by_hand = x
    for index in range(5):
        t = index / 5
        by_hand = by_hand + (denoise(by_hand, t) - by_hand) / (1 - t) / 5
    assert torch.allclose(euler(denoise, x, 5), by_hand, atol=1e-12)


@pytest.mark.parametrize(("sampler", "order"), [(euler, 1), (heun, 2)])
def test_errors_fall_with_the_order_of_the_method(sampler, order):
    # On a smooth flow: the last step of Heun's method is of first order, so stay away from it.
    def tame(x: torch.Tensor, t: float) -> torch.Tensor:
        return x + (1 - t) * torch.sin(x)  # velocity sin(x), with a known solution

    x = torch.linspace(0.1, 1.0, 50, dtype=torch.float64)
    solution = 2 * torch.atan(torch.tan(x / 2) * torch.e)
    errors = [(sampler(tame, x, steps) - solution).abs().max().item() for steps in (40, 80)]
    if sampler is heun:
        assert errors[1] < errors[0] / 2
    assert errors[0] / errors[1] > 2**order * 0.9 or errors[0] < 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_denoisers_are_never_asked_at_time_one(sampler):
    asked = []

    def record(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return denoise(x, t)

    sampler(record, noise(10), 3)
    assert max(asked) < 1
    assert len(asked) == (3 if sampler is euler else 5)
