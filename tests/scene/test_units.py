"""Laws of units: what a scene's numbers mean does not depend on how they are stored."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.errors import GeocamssWarning
from geocamss.modelcard import ModelCard
from geocamss.models.normalize import Normalizer
from geocamss.scene.scene import Scene
from geocamss.scene.units import _physical, units_of

NAMES = ("blue", "green", "red", "nir")
REFLECTANCE = np.random.default_rng(0).uniform(0.02, 0.5, (4, 150, 180))
CARD = ModelCard(
    bands=list(NAMES),
    gsd=10.0,
    scale=1e-4,
    mean=0.2,
    std=0.15,
    classes=["a", "b"],
    chip=64,
    overlap=16,
)


def units(path, card=CARD):
    scene = Scene.open(path)
    return units_of(scene, scene.select(card), card)


def test_reflectance_is_the_same_to_a_model_stored_as_real_or_as_whole_numbers(make):
    stored = make((REFLECTANCE * 1e4).round().astype("uint16"), descriptions=NAMES, name="u.tif")
    real = make(REFLECTANCE.astype("float32"), descriptions=NAMES, name="f.tif")
    assert units(stored) == (None,) * 4
    with pytest.warns(GeocamssWarning, match=r"f\.tif: blue, green, red, nir hold real numbers"):
        found = units(real)
    assert found == ((1.0, 0.0),) * 4
    gains = [np.array(Normalizer.of(CARD, said).gain) for said in (found, units(stored))]
    np.testing.assert_allclose(gains[0] * REFLECTANCE.mean(), gains[1] * REFLECTANCE.mean() * 1e4)


def test_real_numbers_that_are_stored_ones_stay_so(make):
    path = make((REFLECTANCE * 1e4).astype("float32"), descriptions=NAMES)
    assert units(path) == (None,) * 4


def test_what_the_file_declares_comes_first(make):
    path = make(
        REFLECTANCE.astype("float32"), descriptions=NAMES, scales=(2.0,) * 4, offsets=(0.1,) * 4
    )
    assert units(path) == ((2.0, 0.1),) * 4


def test_missing_pixels_say_nothing(make):
    values = REFLECTANCE.astype("float32")
    values[:, :100] = -9999
    values[:, 100:110] = np.nan
    path = make(values, descriptions=NAMES, nodata=-9999)
    with pytest.warns(GeocamssWarning, match="real numbers"):
        assert units(path) == ((1.0, 0.0),) * 4


@pytest.mark.parametrize("value", [0.0, 0.3, 3000.0, np.nan])
def test_a_scene_of_one_number_is_left_to_the_card(make, value):
    path = make(np.full((4, 20, 20), value, "float32"), descriptions=NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert units(path) == (None,) * 4


@given(
    scale=st.floats(1e-6, 1 / 255),
    offset=st.floats(-0.2, 0.2),
    spread=st.floats(0.02, 0.3),
    mean=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_stored_and_physical_numbers_are_told_apart(scale, offset, spread, mean, seed):
    card = ModelCard(
        bands=["a"], gsd=1.0, scale=scale, offset=offset, mean=0.3, std=0.2, classes=["x", "y"]
    )
    physical = np.random.default_rng(seed).normal(mean, spread, 1000)
    assert _physical(physical, card, 0)
    assert not _physical((physical - offset) / scale, card, 0)
