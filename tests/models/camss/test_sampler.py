"""Laws of the samplers, on a target whose denoiser is known, and against those of diffusers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)
from scipy import stats

from geocamss.models.camss.sampler import ddim, ddpm, dpm_solver, euler, heun, mean_flow
from geocamss.models.camss.schedule import (
    CLEAN,
    LAST_SAFE,
    Level,
    cosine,
    cosine_signal,
    straight,
)
from tests.models.camss.gaussian import MEAN, SPREAD, carried, denoise, noise, posterior

ON_STRAIGHT = [euler, heun, ddim, dpm_solver]
COSINE = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}


def level_at(timestep: int) -> Level:
    signal = cosine_signal()[timestep]
    return Level(math.sqrt(signal), math.sqrt(1 - signal))


def fresh(seed: int, like: torch.Tensor):
    """Noise of the steps, drawn in their order."""
    generator = torch.Generator().manual_seed(seed)
    return lambda _: torch.randn(like.shape, generator=generator, dtype=like.dtype)


@pytest.mark.parametrize("sampler", ON_STRAIGHT)
def test_one_step_is_the_prediction_at_time_zero(sampler):
    x = noise()
    assert torch.equal(sampler(denoise, x, straight(1)), denoise(x, Level(0, 1)))
    assert torch.allclose(sampler(denoise, x, straight(1)), torch.full_like(x, MEAN))


@pytest.mark.parametrize("sampler", ON_STRAIGHT)
def test_many_steps_reach_the_closed_form(sampler):
    x = noise()
    found = sampler(denoise, x, straight(400))
    assert (found - carried(x, Level(0, 1), CLEAN)).abs().max() < 0.02
    assert stats.kstest(found.numpy(), "norm", (MEAN, SPREAD)).pvalue > 1e-3


@pytest.mark.parametrize("sampler", [ddim, dpm_solver])
def test_the_cosine_path_leads_to_the_data_too(sampler):
    x = noise()
    found = sampler(denoise, x, cosine(200, LAST_SAFE))
    # It starts from noise alone, where a trace of the data should be: no further off than that.
    assert abs(found.mean() - MEAN) < 0.05
    assert abs(found.std() / SPREAD - 1) < 0.05


@pytest.mark.parametrize("steps", [100, 1000])
def test_ancestral_samples_have_the_right_mean_and_spread(steps):
    x = noise()
    found = ddpm(posterior, x, cosine(steps), fresh(1, x))
    assert abs(found.mean() - MEAN) < 0.02
    # The lower bound of the variance is that of a datum known exactly: too small, if not by much.
    assert abs(found.std() / SPREAD - 1) < (0.02 if steps == 1000 else 0.15)


def test_the_right_variances_make_few_ancestral_steps_exact():
    def knowing(x: torch.Tensor, level: Level) -> tuple[torch.Tensor, torch.Tensor]:
        after = following[level]
        upper = level.sigma**2 - (level.alpha / after.alpha * after.sigma) ** 2
        lower = upper * (after.sigma / level.sigma) ** 2
        # The variance of the step is that of a known datum plus what is not known of the datum.
        doubt = SPREAD**2 * level.sigma**2 / (level.alpha**2 * SPREAD**2 + level.sigma**2)
        pull = after.alpha - math.sqrt(after.sigma**2 - lower) * level.alpha / level.sigma
        wanted = math.log(lower + pull**2 * doubt)
        where = (wanted - math.log(lower)) / (math.log(upper) - math.log(lower))
        return denoise(x, level), torch.full_like(x, where)

    path = cosine(12)[:-1]  # the last step has no variance
    following = dict(pairwise(path))
    x = noise(100_000)
    found = ddpm(knowing, x, path, fresh(2, x))
    end = path[-1]
    assert abs(found.mean() - end.alpha * MEAN) < 0.01
    assert abs(found.std() / math.hypot(end.alpha * SPREAD, end.sigma) - 1) < 0.01


def between(steps: int, *, lines: bool) -> list[Level]:
    """Levels where nothing is singular: straight, or evenly spaced in log(alpha / sigma)."""
    if lines:
        return [Level(t, 1 - t) for t in np.linspace(0.1, 0.8, steps + 1).tolist()]
    ratios = np.exp(np.linspace(-2.0, 1.0, steps + 1)).tolist()
    return [Level(r / math.hypot(1, r), 1 / math.hypot(1, r)) for r in ratios]


@pytest.mark.parametrize(
    ("sampler", "lines", "order"),
    [(euler, True, 1), (heun, True, 2), (ddim, False, 1), (dpm_solver, False, 2)],
)
def test_errors_fall_with_the_order_of_the_method(sampler, lines, order):
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    errors = []
    for steps in (40, 80, 160):
        path = between(steps, lines=lines)
        wanted = carried(x, path[0], path[-1])
        errors.append((sampler(denoise, x, path) - wanted).abs().max().item())
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_along_a_straight_path_ddim_is_eulers_method():
    x = noise(1000)
    assert torch.allclose(ddim(denoise, x, straight(7)), euler(denoise, x, straight(7)), atol=1e-12)


def test_solvers_of_any_order_agree_in_the_limit():
    x, path = noise(1000), cosine(981, LAST_SAFE)
    twenty = dpm_solver(denoise, x, cosine(200, LAST_SAFE))
    assert (twenty - ddim(denoise, x, path)).abs().max() < 0.02


@pytest.mark.parametrize("sampler", [euler, heun])
def test_methods_of_straight_flows_refuse_other_paths(sampler):
    with pytest.raises(ValueError, match="straight path"):
        sampler(denoise, noise(3), cosine(5))


@pytest.mark.parametrize("sampler", [*ON_STRAIGHT, ddpm])
def test_denoisers_are_never_asked_for_clean_data(sampler):
    asked = []

    def record(x: torch.Tensor, level: Level) -> torch.Tensor:
        asked.append(level)
        return denoise(x, level)

    def record_both(x: torch.Tensor, level: Level) -> tuple[torch.Tensor, None]:
        return record(x, level), None

    x = noise(10)
    if sampler is ddpm:
        ddpm(record_both, x, straight(3), fresh(0, x))
    else:
        sampler(record, x, straight(3))
    assert CLEAN not in asked
    assert len(asked) == (5 if sampler is heun else 3)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_average_velocities_are_exact_in_any_number_of_steps(steps):
    def average(x: torch.Tensor, t: float, r: float) -> torch.Tensor:
        return (carried(x, Level(t, 1 - t), Level(r, 1 - r)) - x) / (r - t)

    x = noise()
    found = mean_flow(average, x, steps)
    assert torch.allclose(found, carried(x, Level(0, 1), CLEAN), atol=1e-9)


# diffusers, on a denoiser that is no straight line; it keeps its schedules in float32.


def odd_noise(x: torch.Tensor, level: Level) -> torch.Tensor:
    """What the noise in x might be; bounded."""
    return torch.tanh(x * (0.5 + level.sigma) - 0.3 * level.alpha)


def odd(x: torch.Tensor, level: Level) -> torch.Tensor:
    """The data, if that were the noise."""
    return (x - level.sigma * odd_noise(x, level)) / level.alpha


def start(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def levels_of(timesteps: torch.Tensor) -> list[Level]:
    return [*(level_at(int(t)) for t in timesteps), CLEAN]


def test_the_cosine_schedule_is_that_of_diffusers():
    theirs = DDPMScheduler(**COSINE).alphas_cumprod
    assert torch.allclose(torch.tensor(cosine_signal()), theirs, rtol=2e-4, atol=1e-7)


def exactly(scheduler):
    """Give a scheduler of diffusers the schedule in full precision."""
    scheduler.alphas_cumprod = torch.tensor(cosine_signal(), dtype=torch.float64)
    return scheduler


@pytest.mark.parametrize("steps", [2, 10, 50])
def test_ddim_agrees_with_diffusers(steps):
    scheduler = exactly(DDIMScheduler(**COSINE, clip_sample=False, timestep_spacing="leading"))
    scheduler.set_timesteps(steps)
    x = begun = start(4, 3)
    for t in scheduler.timesteps:
        x = scheduler.step(odd_noise(x, level_at(int(t))), int(t), x).prev_sample
    assert torch.allclose(x, ddim(odd, begun, levels_of(scheduler.timesteps)), atol=1e-6)


# The scheduler of the other library turns tensors into arrays in the old way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("steps", [3, 20])
def test_dpm_solver_agrees_with_diffusers(steps):
    scheduler = DPMSolverMultistepScheduler(**COSINE, algorithm_type="dpmsolver++", solver_order=2)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps[1:]  # the first is where nothing but noise is left
    scheduler.set_begin_index(1)
    x = begun = start(4, 3)
    for t in timesteps:
        x = scheduler.step(odd_noise(x, level_at(int(t))), t, x).prev_sample
    assert torch.allclose(x, dpm_solver(odd, begun, levels_of(timesteps)), atol=2e-3)


@pytest.mark.parametrize("steps", [4, 100])
def test_ancestral_sampling_with_learned_variances_agrees_with_diffusers(steps):
    def where(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)

    scheduler = exactly(
        DDPMScheduler(
            **COSINE,
            variance_type="learned_range",
            clip_sample=False,
            timestep_spacing="linspace",
        )
    )
    last = LAST_SAFE
    path = cosine(steps, last)
    timesteps = [last - round(index * last / (steps - 1)) for index in range(steps)]
    assert path == levels_of(torch.tensor(timesteps))
    scheduler.set_timesteps(timesteps=timesteps)
    x = begun = start(4, 3)
    generator = torch.Generator().manual_seed(8)
    for t in timesteps:
        both = torch.cat([odd_noise(x, level_at(t)), 2 * where(x) - 1], dim=1)
        x = scheduler.step(both, t, x, generator=generator).prev_sample
    found = ddpm(lambda x, level: (odd(x, level), where(x)), begun, path, fresh(8, begun))
    assert torch.allclose(x, found, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 6])
def test_eulers_method_agrees_with_diffusers(steps):
    scheduler = FlowMatchEulerDiscreteScheduler()
    path = straight(steps)
    scheduler.set_timesteps(sigmas=[level.sigma for level in path[:-1]])
    x = begun = start(4, 3)
    for t, level in zip(scheduler.timesteps, path, strict=False):
        x = scheduler.step((x - denoise(x, level)) / level.sigma, t, x).prev_sample
    assert torch.allclose(x.double(), euler(denoise, begun, path), atol=1e-5)


@pytest.mark.parametrize("steps", [2, 7])
def test_heuns_method_agrees_with_diffusers(steps):
    scheduler = FlowMatchHeunDiscreteScheduler()
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.double().tolist()
    path = [Level(1 - sigma, sigma) for sigma in sigmas[:1] + sigmas[1::2]]
    x = begun = start(4, 3)
    for t, sigma in zip(scheduler.timesteps, sigmas, strict=False):
        velocity = (x - denoise(x, Level(1 - sigma, sigma))) / sigma
        x = scheduler.step(velocity, t, x).prev_sample
    assert torch.allclose(x.double(), heun(denoise, begun, path), atol=1e-4)
