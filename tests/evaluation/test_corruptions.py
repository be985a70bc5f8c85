"""Corruptions: the same ground is spoiled alike, however it is cut; and as others spoil it."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve, gaussian_filter

from geocamss.errors import InputError
from geocamss.evaluation.chance import bells, smooth, uniforms
from geocamss.evaluation.corruptions import (
    CORRUPTIONS,
    LUMA,
    Patch,
    chosen_corruptions,
    motion_blur,
)
from geocamss.evaluation.spoiled import SpoiledPixels
from geocamss.scene.window import Window

BANDS = ("red", "green", "blue", "nir")
EVERY = [
    pytest.param(corruption, strength, id=f"{corruption.name}-{strength:g}")
    for corruption in CORRUPTIONS.values()
    for strength in corruption.levels(BANDS)
]


@dataclass
class Ground:
    """A scene of bytes with gaps, which ends."""

    seed: int = 0
    size: tuple[int, int] = (150, 170)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        coarse = rng.integers(0, 256, (4, 30, 34)).astype(np.float64)
        self.pixels = np.kron(coarse, np.ones((5, 5))).astype(np.uint8)
        self.valid = rng.random(self.size) > 0.03
        self.valid[20:40, 30:60] = False

    def read(self, window):
        pixels = np.zeros((4, *window.shape), np.uint8)
        valid = np.zeros(window.shape, bool)
        whole = Window(0, 0, *self.size)
        part = window & whole
        if not part.empty:
            here, there = part.within(window), part.within(whole)
            pixels[(slice(None), *here)] = self.pixels[(slice(None), *there)]
            valid[here] = self.valid[there]
        return pixels, valid

    def inside(self, window):
        return np.ones(window.shape, bool)


def spoiled(source, corruption, strength, seed=0, origin=(-37, 1013)):
    gain, bias = (1 / 255,) * 4, (0.0,) * 4
    return SpoiledPixels(source, corruption, strength, gain, bias, BANDS, origin, seed)


def patch(values, valid=None, seed=0, bands=BANDS[:3]):
    values = np.asarray(values, np.float32)
    good = np.ones(values.shape[1:], bool) if valid is None else valid
    return Patch(values, good, Window(-11, 23, *values.shape[1:]), bands, seed)


@pytest.mark.parametrize(("corruption", "strength"), EVERY)
def test_a_part_is_spoiled_as_in_the_whole(corruption, strength):
    source = spoiled(Ground(), corruption, strength, seed=3)
    whole, valid = source.read(Window(-5, -5, 160, 180))
    assert (valid == Ground().read(Window(-5, -5, 160, 180))[1]).all()
    for part in (Window(0, 0, 64, 64), Window(17, 29, 40, 90), Window(100, 120, 55, 55)):
        found, good = source.read(part)
        rows, cols = part.within(Window(-5, -5, 160, 180))
        np.testing.assert_array_equal(good, valid[rows, cols])
        np.testing.assert_array_equal(found, whole[:, rows, cols])


@pytest.mark.parametrize(("corruption", "strength"), EVERY)
def test_it_changes_the_picture_and_keeps_its_kind(corruption, strength):
    ground = Ground(1)
    source = spoiled(ground, corruption, strength, seed=2)
    found, valid = source.read(Window(0, 0, 150, 170))
    assert found.dtype == np.uint8
    assert (found != ground.pixels)[:, valid].any()
    np.testing.assert_array_equal(found[:, ~valid], ground.pixels[:, ~valid])


@pytest.mark.parametrize(("corruption", "strength"), EVERY)
def test_what_is_not_valid_does_not_bleed(corruption, strength):
    first, second = Ground(), Ground()
    second.pixels[:, ~second.valid] = 255 - second.pixels[:, ~second.valid]
    window = Window(0, 0, 150, 170)
    ours, valid = spoiled(first, corruption, strength).read(window)
    theirs, _ = spoiled(second, corruption, strength).read(window)
    np.testing.assert_array_equal(ours[:, valid], theirs[:, valid])


def test_the_seed_chooses_the_noise():
    window = Window(0, 0, 50, 50)
    noise = CORRUPTIONS["gaussian-noise"]
    first, again, other = (
        spoiled(Ground(), noise, 0.1, seed).read(window)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@given(st.integers(0, 2**40), st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
def test_chance_follows_the_place(seed, row, col):
    whole = Window(row, col, 23, 31)
    part = Window(row + 5, col + 7, 9, 11)
    for draw in (
        lambda w: uniforms(seed, 1, w),
        lambda w: bells(seed, 1, w),
        lambda w: smooth(seed, 1, w, 8),
    ):
        np.testing.assert_array_equal(draw(part), draw(whole)[part.within(whole)])


def test_chance_has_the_moments_it_says():
    window = Window(-100, 5, 400, 400)
    even = uniforms(7, 0, window)
    assert abs(even.mean() - 0.5) < 0.005
    assert abs(even.var() - 1 / 12) < 0.002
    assert even.min() >= 0
    assert even.max() < 1
    bell = bells(7, 0, window)
    assert abs(bell.mean()) < 0.01
    assert abs(bell.std() - 1) < 0.01
    assert abs((bell > 1).mean() - 0.1587) < 0.004
    beside = np.corrcoef(bell[:, 1:].ravel(), bell[:, :-1].ravel())[0, 1]
    assert abs(beside) < 0.01
    assert abs(np.corrcoef(bell.ravel(), bells(7, 1, window).ravel())[0, 1]) < 0.01


@given(st.sampled_from([0.5, 1, 2, 4]), st.integers(0, 50))
@settings(max_examples=15)
def test_gaussian_blur_is_scipys(sigma, seed):
    values = np.random.default_rng(seed).random((2, 40, 40))
    found = CORRUPTIONS["gaussian-blur"].apply(patch(values, bands=("a", "b")), sigma)
    radius = CORRUPTIONS["gaussian-blur"].reach(sigma)
    weight = gaussian_filter(np.ones((40, 40)), sigma, mode="constant", radius=radius)
    for band, blurred in zip(values, found, strict=True):
        expected = gaussian_filter(band, sigma, mode="constant", radius=radius) / weight
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize("length", [3, 7, 11, 21])
def test_motion_blur_is_a_convolution_with_a_line(length):
    point = np.zeros((1, 61, 61))
    point[0, 30, 30] = 1
    kernel = motion_blur(patch(point, bands=("a",)), length)[0]
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    rows, cols = np.nonzero(kernel > 0)
    assert np.hypot(rows - 30, cols - 30).max() <= CORRUPTIONS["motion-blur"].reach(length)
    # Evenly spaced points, each shared by two columns at most one apart.
    points = 4 * length
    along = ((length - 1) * np.cos(np.radians(30))) ** 2 / 12 * (points + 1) / (points - 1)
    assert (kernel * (np.arange(61) - 30) ** 2).sum() == pytest.approx(along + 1 / 6, rel=0.1)
    values = np.random.default_rng(0).random((1, 61, 61))
    middle = (slice(25, 36), slice(25, 36))
    found = motion_blur(patch(values, bands=("a",)), length)[0]
    expected = convolve(values[0], kernel, mode="constant")
    np.testing.assert_allclose(found[middle], expected[middle], atol=1e-5)


@given(st.tuples(*[st.floats(0, 1, width=32)] * 3), st.sampled_from([15, 45, 90, 180]))
def test_hue_is_turned_as_in_hsv(color, degrees):
    found = CORRUPTIONS["hue"].apply(patch(np.reshape(color, (3, 1, 1))), degrees)[:, 0, 0]
    h, s, v = colorsys.rgb_to_hsv(*color)
    np.testing.assert_allclose(found, colorsys.hsv_to_rgb((h + degrees / 360) % 1, s, v), atol=2e-4)


def test_colors_and_tones_follow_their_formulas():
    values = np.random.default_rng(0).random((3, 8, 9)).astype(np.float32)

    def apply(name, strength):
        return CORRUPTIONS[name].apply(patch(values), strength)

    np.testing.assert_allclose(apply("brightness", 0.15), values + 0.15, atol=1e-6)
    np.testing.assert_allclose(apply("contrast", 2.5), (values - 0.5) * 2.5 + 0.5, atol=1e-6)
    np.testing.assert_allclose(apply("haze", 0.4), values * 0.6 + 0.4 * 0.85, atol=1e-6)
    gray = np.tensordot(LUMA, values, 1)
    np.testing.assert_allclose(apply("saturation", 0), np.stack([gray] * 3), atol=1e-6)
    np.testing.assert_array_equal(apply("swapped-bands", 1), values[[1, 0, 2]])
    np.testing.assert_array_equal(apply("swapped-bands", 3), values[::-1])
    np.testing.assert_array_equal(apply("dropped-band", 2)[[0, 2]], values[[0, 2]])
    assert (apply("dropped-band", 2)[1] == 0.5).all()


def test_noise_and_salt_have_the_strength_they_say():
    flat = np.full((3, 300, 300), 0.5, np.float32)
    noise = CORRUPTIONS["gaussian-noise"].apply(patch(flat), 0.1) - 0.5
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    salted = CORRUPTIONS["salt-and-pepper"].apply(patch(flat), 0.5)
    assert (salted[0] == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert (salted[0] == 1).mean() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(salted[0], salted[1])


def test_coarser_pixels_keep_even_ground_and_straight_slopes():
    slope = np.broadcast_to(np.arange(64.0) / 64, (1, 64, 64))
    found = CORRUPTIONS["coarser-gsd"].apply(
        Patch(slope.astype(np.float32), np.ones((64, 64), bool), Window(0, 0, 64, 64), ("a",), 0), 4
    )
    np.testing.assert_allclose(found[0, :, 8:-8], slope[0, :, 8:-8], atol=1e-5)


def test_corruptions_that_make_no_sense_for_the_bands_are_left_out():
    assert not CORRUPTIONS["hue"].levels(("red", "nir"))
    assert CORRUPTIONS["hue"].levels(("Red", "G", "blue "))
    assert not CORRUPTIONS["swapped-bands"].levels(("pan",))
    assert CORRUPTIONS["dropped-band"].levels(("red", "nir")) == (1, 2)
    with pytest.raises(InputError, match="fog"):
        chosen_corruptions(["fog"])
