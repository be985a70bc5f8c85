"""Laws of noise levels."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from geocamss.models.camss.schedule import (
    CLEAN,
    LAST_SAFE,
    TIMESTEPS,
    Level,
    cosine,
    cosine_signal,
    straight,
)


@pytest.mark.parametrize("path", [straight(1), straight(7), cosine(1), cosine(9), cosine(1000)])
def test_every_path_runs_from_noise_to_clean_data(path):
    assert path[-1] == CLEAN
    for level, after in pairwise(path):
        assert after.alpha > level.alpha
        assert after.sigma < level.sigma


def test_the_cosine_schedule_keeps_the_variance_and_follows_the_cosine():
    for level in cosine(1000):
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1)
    for step in (0, 100, 500, 900):
        angle = ((step + 1) / TIMESTEPS + 0.008) / 1.008 * math.pi / 2
        start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
        assert cosine_signal()[step] == pytest.approx(math.cos(angle) ** 2 / start)


def test_respacing_to_all_steps_changes_nothing():
    signal = [level.alpha**2 for level in cosine(TIMESTEPS)[:-1]]
    assert signal == pytest.approx(cosine_signal()[::-1])


def test_a_hundred_of_a_thousand_steps_are_those_of_the_paper():
    stride = 999 / 99
    chosen = [round(index * stride) for index in range(100)]  # as IDDPM spaces its timesteps
    signal = [level.alpha**2 for level in cosine(100)[:-1]]
    assert signal == pytest.approx([cosine_signal()[k] for k in reversed(chosen)])


@pytest.mark.parametrize("steps", [0, LAST_SAFE + 2])
def test_no_more_steps_than_timesteps(steps):
    with pytest.raises(ValueError, match="steps must be 1 to 981"):
        cosine(steps, LAST_SAFE)


@pytest.mark.parametrize(("alpha", "sigma"), [(0, 0), (-0.1, 1), (0.5, 1.5), (math.nan, 0.5)])
def test_levels_are_shares(alpha, sigma):
    with pytest.raises(ValueError, match="must be 0 to 1"):
        Level(alpha, sigma)
