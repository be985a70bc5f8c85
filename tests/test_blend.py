"""Blending against the plain definitions: weights, sums, and the likeliest class."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geocamss.blend import UNIT, Adder, certainty, decide, ramp, weights
from geocamss.models.normalize import LIMIT, Normalizer
from geocamss.scene.tiles import Lattice

SIZES = st.tuples(st.integers(1, 40), st.integers(0, 20)).map(lambda s: (s[0] + 4 * s[1], 2 * s[1]))


@given(SIZES)
def test_the_weights_over_a_pixel_sum_to_one(size):
    chip, overlap = size
    side = ramp(chip, overlap)
    step = chip - overlap
    total = torch.zeros(chip + 4 * step, dtype=torch.float64)
    for start in range(0, 5 * step, step):
        total[start : start + chip] += side
    inner = total[overlap : 5 * step]
    torch.testing.assert_close(inner, torch.ones_like(inner), rtol=0, atol=1e-12)


@st.composite
def sums_with_values(draw):
    count = draw(st.integers(1, 7))
    shape = count, draw(st.integers(1, 5)), draw(st.integers(1, 5))
    numbers = st.one_of(st.integers(0, 4), st.integers(0, UNIT + 2))
    sums = draw(arrays(np.int16, shape, elements=numbers))
    values = draw(st.lists(st.integers(0, 254), min_size=count, max_size=count, unique=True))
    return sums, values


@given(sums_with_values())
def test_the_first_of_the_likeliest_classes_wins(case):
    sums, values = case
    planes = torch.from_numpy(sums)
    classes, confidence = decide(planes, values), certainty(planes)
    best = sums.max(axis=0)
    expected = np.where(best == 0, 255, np.array(values)[sums.argmax(axis=0)])
    np.testing.assert_array_equal(classes.numpy(), expected)
    percent = best.astype("float64") * 100 / UNIT
    assert np.abs(confidence.numpy() - percent)[best > 0].max(initial=0) <= 0.501
    assert (confidence.numpy()[best == 0] == 255).all()
    assert classes.dtype == confidence.dtype == torch.uint8


@given(st.integers(0, 99), st.integers(1, 5))
def test_contributions_are_rounded_one_by_one(seed, count):
    lattice = Lattice(16, 4)
    weight = weights(lattice, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    said = torch.rand(3, count, 16, 16, generator=generator) / 3  # together no more than one
    sums = torch.zeros(count, 16, 20, dtype=torch.int16)
    add = Adder(weight, count)
    for probabilities in said:
        add(probabilities, sums[:, :, 2:18])
    exact = said.double().numpy() * weight.double().numpy()
    expected = np.floor(exact + 0.5).sum(axis=0)
    assert np.abs(sums[:, :, 2:18].numpy() - expected).max() <= 1  # float32 beside float64
    assert (sums[:, :, :2] == 0).all()
    assert (sums[:, :, 18:] == 0).all()


@given(st.integers(0, 99), st.booleans())
def test_normalizing_is_one_multiplication_and_one_addition(seed, whole):
    dice = np.random.default_rng(seed)
    gain, bias = (tuple(dice.normal(size=3).tolist()) for _ in range(2))
    stored = dice.integers(0, 65536, (2, 3, 4, 5)).astype("uint16")
    valid = np.ones((2, 4, 5), bool) if whole else dice.random((2, 4, 5)) < 0.5
    normalizer = Normalizer(gain, bias)
    out = torch.full((2, 3, 4, 5), torch.nan)
    found = normalizer(torch.from_numpy(stored), torch.from_numpy(valid), out)
    expected = stored * np.array(gain)[:, None, None] + np.array(bias)[:, None, None]
    expected = np.where(valid[:, None], expected.clip(-LIMIT, LIMIT), 0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-2)
    assert found is out
    assert (found.numpy()[:, 0][~valid] == 0).all()
    fresh = normalizer(torch.from_numpy(stored), torch.from_numpy(valid))
    torch.testing.assert_close(fresh, found, rtol=0, atol=0)
