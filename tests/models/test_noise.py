"""Laws of the noise: normal, independent, and a function of the position alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from geocamss.models.camss.noise import gaussian

FAR = 2**40
positions = st.integers(-FAR, FAR)
shifts = st.integers(0, 12)
seeds = st.integers(0, 2**63 - 1)


def corner(row: int, col: int) -> torch.Tensor:
    return torch.tensor([[row, col]], dtype=torch.int64)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_noise_is_standard_normal(seed):
    draws = gaussian(corner(-50, 1000), 100, 100, 16, seed=seed).numpy().reshape(-1)
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    assert abs(draws.mean()) < 4 / np.sqrt(draws.size)
    assert abs(draws.std() - 1) < 0.01
    # Tails too: 4.5 sigma comes once in 147,000 draws.
    assert 4 < np.abs(draws).max() < 6.5


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4},
        {"sample": 1},
        {"step": 1},
        {"row": 1},
        {"col": 1},
        {"row": -1, "col": 1},
        {"row": 64},
        {"seed": 4, "sample": -1 + 1, "step": 0},
    ],
)
def test_draws_at_other_coordinates_are_independent(other):
    def draw(row=0, col=0, seed=3, sample=0, step=0):
        first = corner(row * 1000, col * 1000)
        draws = gaussian(first, 64, 64, 8, seed=seed, sample=sample, step=step)
        return draws.numpy().reshape(-1)

    here, there = draw(), draw(**other)
    count = here.size
    for left, right in ((here, there), (here**2, there**2)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 4.5 / np.sqrt(count)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbors_are_independent(axis):
    draws = np.moveaxis(gaussian(corner(0, 0), 96, 96, 32, seed=9)[0].numpy(), axis, 0)
    left, right = draws[:-1].reshape(-1), draws[1:].reshape(-1)
    assert abs(np.corrcoef(left, right)[0, 1]) < 4.5 / np.sqrt(left.size)


@settings(max_examples=40, deadline=None)
@given(seeds, st.tuples(positions, positions), st.tuples(shifts, shifts), st.integers(1, 4))
def test_overlapping_grids_agree(seed, first_token, shift, channels):
    (row, col), (down, right) = first_token, shift
    both = torch.tensor([[row, col], [row + down, col + right]], dtype=torch.int64)
    first, second = gaussian(both, 16, 16, channels, seed=seed)
    overlap = second[: 16 - down, : 16 - right]
    assert torch.equal(first[down:, right:], overlap)
    assert torch.isfinite(first).all()


@settings(max_examples=20, deadline=None)
@given(seeds, positions, positions, st.integers(1, 8))
def test_noise_does_not_depend_on_batch_or_extent(seed, row, col, channels):
    alone = gaussian(corner(row, col), 5, 7, channels, seed=seed)
    company = torch.tensor([[0, 0], [row, col], [5, 5]], dtype=torch.int64)
    among = gaussian(company, 9, 8, channels + 3, seed=seed)
    assert torch.equal(alone[0], among[1, :5, :7, :channels])


def test_rows_and_columns_are_not_exchanged():
    noise = gaussian(corner(0, 0), 8, 8, 1, seed=0)[0, :, :, 0]
    assert not torch.equal(noise, noise.T)
    assert noise.unique().numel() == 64
