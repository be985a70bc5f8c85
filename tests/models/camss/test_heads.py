"""Laws of the heads: one protocol, whatever they predict and whichever schedule they know."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator
from torch.distributions import Normal, kl_divergence

from geocamss.models.camss.ddpm import DdpmHead, hybrid_loss
from geocamss.models.camss.head import FlowHead, Head, flow_loss
from geocamss.models.camss.sampler import ddim, ddpm, dpm_solver, mean_flow
from geocamss.models.camss.schedule import (
    LAST_SAFE,
    Level,
    cosine,
    cosine_signal,
    straight,
)
from geocamss.models.camss.student import StudentHead, mean_flow_loss, mean_flow_target
from tests.models.camss.gaussian import MEAN, SPREAD, carried

HEADS = [FlowHead, DdpmHead]
LEVELS = [Level(0.3, 0.7), cosine(20)[7], Level(0.9, 0.05)]


def head(kind, *, trained: bool = True) -> Head:
    torch.manual_seed(0)
    module = kind(3, 8, 16, 2)
    if trained:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = Generator().manual_seed(1)
    return torch.randn(2, 4, 5, 3, generator=generator), torch.randn(
        2, 4, 5, 8, generator=generator
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", HEADS)
def test_only_the_ratio_of_data_to_noise_matters(kind, level):
    noisy, condition = inputs()
    module, half = head(kind), Level(level.alpha / 2, level.sigma / 2)
    with torch.no_grad():
        whole = module.clean(noisy, level, condition)
        assert torch.allclose(whole, module.clean(noisy / 2, half, condition), atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_tokens_are_denoised_by_themselves(kind):
    noisy, condition = inputs()
    module, some = head(kind), torch.rand(2, 4, 5, generator=Generator().manual_seed(2)) < 0.4
    with torch.no_grad():
        whole = module.clean(noisy, LEVELS[0], condition)
        assert torch.allclose(
            whole[some], module.clean(noisy[some], LEVELS[0], condition[some]), atol=1e-5
        )


def test_a_new_head_of_the_paper_predicts_no_noise_and_half_a_variance():
    noisy, condition = inputs()
    noise, where = head(DdpmHead, trained=False)(noisy, torch.tensor(500.0), condition)
    assert not noise.any()
    assert (where == 0.5).all()


@pytest.mark.parametrize("timestep", [0, 1, 30, 500, LAST_SAFE])
def test_the_head_of_the_paper_is_asked_at_the_timestep_of_the_level(timestep):
    noisy, condition = inputs()
    module, signal = head(DdpmHead), cosine_signal()[timestep]
    level = Level(math.sqrt(signal), math.sqrt(1 - signal))
    with torch.no_grad():
        noise, where = module(noisy, torch.tensor(float(timestep)), condition)
        data = (noisy - level.sigma * noise) / level.alpha
        found, fraction = module.posterior(noisy, level, condition)
        assert torch.allclose(found, data, atol=1e-3, rtol=1e-3)
        assert torch.allclose(fraction, where, atol=1e-4)
        assert torch.equal(found, module.clean(noisy, level, condition))


def test_pure_noise_does_not_blow_up():
    noisy, condition = inputs()
    with torch.no_grad():
        found = head(DdpmHead).clean(noisy, Level(0, 1), condition)
    assert found.abs().max() < 1e3


@pytest.mark.parametrize("timestep", [1, 2, 250, 999])
def test_the_bound_is_the_divergence_of_two_normal_distributions(timestep):
    generator = Generator().manual_seed(3)
    data, noise, found = (
        torch.randn(50, 3, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    where = torch.rand(50, 3, generator=generator, dtype=torch.float64)
    now, before = (cosine_signal()[k] for k in (timestep, timestep - 1))
    noisy = math.sqrt(now) * data + math.sqrt(1 - now) * noise
    beta = 1 - now / before
    least = beta * (1 - before) / (1 - now)

    def mean(clean: torch.Tensor) -> torch.Tensor:
        to_clean = math.sqrt(before) * beta / (1 - now)
        return to_clean * clean + math.sqrt(now / before) * (1 - before) / (1 - now) * noisy

    guess = (noisy - math.sqrt(1 - now) * found) / math.sqrt(now)
    log_variance = where * math.log(beta) + (1 - where) * math.log(least)
    true = Normal(mean(data), math.sqrt(least))
    learned = Normal(mean(guess), torch.exp(log_variance / 2))
    bound = kl_divergence(true, learned).mean() / math.log(2)
    wanted = (found - noise).square().mean() + bound
    got = hybrid_loss(
        found,
        where,
        noise=noise,
        noisy=noisy,
        data=data,
        timestep=torch.full((50,), timestep),
        weight=torch.ones(50),
    )
    assert got.item() == pytest.approx(wanted.item(), rel=2e-3)


def test_the_bound_teaches_the_variance_and_never_the_mean():
    found = torch.zeros(20, 3, requires_grad=True)
    where = torch.full((20, 3), 0.5, requires_grad=True)
    data, noise = torch.randn(2, 20, 3, generator=Generator().manual_seed(0))
    loss = hybrid_loss(
        found,
        where,
        noise=noise,
        noisy=data,
        data=data,
        timestep=torch.arange(20) * 50,
        weight=torch.ones(20),
    )
    loss.backward()
    assert torch.allclose(found.grad, -2 * noise / 60, atol=1e-6)  # of the squared error alone
    assert (where.grad != 0).any()


def test_the_average_velocity_of_a_known_flow_fulfills_the_identity():
    generator = Generator().manual_seed(5)
    x = torch.randn(200, 1, generator=generator, dtype=torch.float64)
    t = torch.rand(200, generator=generator, dtype=torch.float64) * 0.5
    r = t + 0.1 + 0.3 * torch.rand(200, generator=generator, dtype=torch.float64)

    def wide(time: torch.Tensor) -> torch.Tensor:
        return torch.sqrt((time * SPREAD) ** 2 + (1 - time) ** 2)[..., None]

    def average(place, time, until):
        after = until[..., None] * MEAN + wide(until) / wide(time) * (
            place - time[..., None] * MEAN
        )
        return (after - place) / (until - time)[..., None]

    data = torch.stack(
        [
            MEAN + a * SPREAD**2 / (a**2 * SPREAD**2 + (1 - a) ** 2) * (place - a * MEAN)
            for place, a in zip(x, t, strict=True)
        ]
    )
    velocity = (data - x) / (1 - t)[:, None]
    found, target = mean_flow_target(average, x, t, r, velocity)
    assert torch.allclose(found, target, atol=1e-9)
    _, wrong = mean_flow_target(average, x, t, r, -velocity)
    assert not torch.allclose(found, wrong, atol=0.1)


def learned(loss, parameters) -> None:
    """Train for a moment on data of one normal distribution."""
    generator, steps = Generator().manual_seed(0), 800
    optimizer = torch.optim.Adam(parameters)
    condition, weight = torch.zeros(128, 1, 2, 2), torch.ones(128, 1, 2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        data = MEAN + SPREAD * torch.randn(128, 1, 2, 1, generator=generator)
        optimizer.zero_grad()
        loss(data, condition, weight, generator).backward()
        optimizer.step()


def check_samples(found: torch.Tensor) -> None:
    assert abs(found.mean() - MEAN) < 0.15
    assert abs(found.std() / SPREAD - 1) < 0.5


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_learns_a_distribution_and_every_sampler_draws_from_it(kind):
    torch.manual_seed(0)
    module = kind(1, 2, 32, 2)

    def loss(data, condition, weight, generator):
        found = module.loss(data, condition, weight, generator)
        if not module.predicts_mean:
            return found
        # As in training: where there is noise alone, the head learns the mean.
        guess = module.clean(torch.zeros_like(data), Level(0, 1), condition)
        return found + flow_loss(guess, data, weight)

    learned(loss, module.parameters())
    generator = Generator().manual_seed(1)
    noise, condition = torch.randn(4000, 1, generator=generator), torch.zeros(4000, 2)

    def denoise(x, level):
        return module.clean(x, level, condition)

    def posterior(x, level):
        return module.posterior(x, level, condition)

    path = straight(25) if kind is FlowHead else cosine(25, LAST_SAFE)
    with torch.no_grad():
        check_samples(ddim(denoise, noise, path))
        check_samples(dpm_solver(denoise, noise, path))
        fresh = lambda _: torch.randn(noise.shape, generator=generator)  # noqa: E731
        check_samples(ddpm(posterior, noise, cosine(100, LAST_SAFE), fresh))


def test_a_student_learns_to_draw_in_one_step():
    torch.manual_seed(0)
    student = StudentHead(1, 2, 32, 2)
    learned(
        lambda data, condition, weight, generator: mean_flow_loss(
            student, data, condition, weight, generator
        ),
        student.parameters(),
    )
    noise = torch.randn(4000, 1, generator=Generator().manual_seed(1))

    def average(x, t, r):
        return student(x, torch.tensor(t), torch.tensor(r), torch.zeros(4000, 2))

    with torch.no_grad():
        found = mean_flow(average, noise, 1)
    check_samples(found)
    # Not the distribution alone: the flow keeps the order of the noise.
    exact = carried(noise, Level(0, 1), Level(1, 0))
    assert torch.corrcoef(torch.stack([found[:, 0], exact[:, 0]]))[0, 1] > 0.97
