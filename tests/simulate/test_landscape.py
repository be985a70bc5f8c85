"""What every landscape keeps: determinism, truth that is whole, spectra, ground in meters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geocamss.errors import BandError, GridError, InputError
from geocamss.simulate import (
    BANDS,
    CLIMATES,
    DEMO_SEED,
    SCHEME,
    TRAINING_SEEDS,
    Landscape,
    landscape,
)

LAND, WATER, BUILDING, VEGETATION, ROAD = (c.value for c in SCHEME)
NAMES = {"land": LAND, "water": WATER, "building": BUILDING, "vegetation": VEGETATION, "road": ROAD}

seeds = st.integers(min_value=0, max_value=2**40)
few = settings(max_examples=8)


def shares(scene: Landscape) -> np.ndarray:
    """Share of each class among the valid pixels."""
    return np.bincount(scene.classes[scene.valid], minlength=5) / scene.valid.sum()


def test_the_scheme_is_that_of_the_aerial_model() -> None:
    assert {c.name: c.value for c in SCHEME} == NAMES
    assert [c.hex for c in SCHEME] == ["#d9c7a0", "#3d85c6", "#c0392b", "#5a9e4b", "#6b6b6b"]


def test_the_demo_is_not_in_training() -> None:
    assert DEMO_SEED not in TRAINING_SEEDS
    assert len(TRAINING_SEEDS) == 100_000


@few
@given(seed=seeds, size=st.tuples(st.integers(16, 150), st.integers(16, 150)))
def test_same_arguments_give_the_same_bytes(seed: int, size: tuple[int, int]) -> None:
    first, second = landscape(seed, *size), landscape(seed, *size)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.classes.tobytes() == second.classes.tobytes()


def test_another_seed_is_another_place() -> None:
    assert (landscape(1, 128, 128).classes != landscape(2, 128, 128).classes).mean() > 0.2


@few
@given(seed=seeds, gsd=st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0, 10.0, 30.0]))
def test_every_pixel_is_valid_with_a_class_or_neither(seed: int, gsd: float) -> None:
    scene = landscape(seed, 120, 90, gsd=gsd)
    assert scene.image.shape == (3, 120, 90)
    assert scene.image.dtype == scene.classes.dtype == np.uint8
    assert set(np.unique(scene.classes[scene.valid])) <= set(SCHEME.values)
    assert (scene.classes[~scene.valid] == 255).all()
    assert (scene.image[:, ~scene.valid] == 0).all()
    assert (scene.image[:, scene.valid] > 0).all()
    assert 0.8 < scene.valid.mean() < 1


@few
@given(seed=seeds)
def test_cut_corners_change_nothing_else(seed: int) -> None:
    cut, whole = landscape(seed, 96, 96), landscape(seed, 96, 96, nodata_corners=False)
    assert whole.valid.all()
    np.testing.assert_array_equal(cut.image[:, cut.valid], whole.image[:, cut.valid])
    np.testing.assert_array_equal(cut.classes[cut.valid], whole.classes[cut.valid])


def test_most_landscapes_have_all_classes() -> None:
    whole = [(shares(landscape(seed, 256, 256)) > 0.004).sum() for seed in range(12)]
    assert sum(count == 5 for count in whole) >= 11
    assert min(whole) >= 4


@few
@given(seed=seeds, gsd=st.sampled_from([0.3, 0.5, 1.0, 10.0]))
def test_roads_connect(seed: int, gsd: float) -> None:
    road = landscape(seed, 200, 200, gsd=gsd, nodata_corners=False).classes == ROAD
    parts, _ = ndimage.label(road)
    sizes = np.bincount(parts[road])
    assert sizes.max() >= 0.95 * road.sum() > 0


@few
@given(seed=seeds)
@example(seed=751)  # a row of houses, which overlap each other, at the edge of the frame
def test_buildings_keep_off_roads(seed: int) -> None:
    scene = landscape(seed, 200, 200, nodata_corners=False)
    # A building stands behind a sidewalk or verge, at least a meter wide.
    beside = ndimage.binary_dilation(scene.classes == ROAD)
    assert not (beside & (scene.classes == BUILDING)).any()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_ground_shows_at_every_gsd(seed: int) -> None:
    fine = landscape(seed, 512, 512, gsd=0.5, nodata_corners=False)
    coarse = landscape(seed, 256, 256, gsd=1.0, nodata_corners=False)
    # The coarse pixel's center is the corner of four fine ones.
    corners = [fine.classes[r::2, c::2] for r in (0, 1) for c in (0, 1)]
    inside = np.all([corner == corners[0] for corner in corners], axis=0)
    assert (coarse.classes[inside] == corners[0][inside]).mean() > 0.985


def test_a_larger_gsd_shows_more_houses_of_fewer_pixels() -> None:
    counts, sizes = [], []
    for gsd in (0.4, 0.8, 1.6):
        building = [landscape(seed, 200, 200, gsd=gsd).classes == BUILDING for seed in range(5)]
        counts.append(sum(ndimage.label(mask)[1] for mask in building))
        sizes.append(np.sum(building) / counts[-1])
    assert counts[0] < counts[1] < counts[2]
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


@pytest.mark.parametrize("seed", range(4))
def test_spectra_are_those_of_the_classes(seed: int) -> None:
    names = ("green", "red", "nir", "swir1")
    scene = landscape(seed, 300, 300, bands=names, gsd=2.0)
    assert scene.image.dtype == np.uint16
    land, water, plants = (
        dict(zip(names, scene.image[:, scene.classes == value] / 10_000, strict=True))
        for value in (LAND, WATER, VEGETATION)
    )
    assert np.median(water["nir"]) < 0.06
    assert np.median(plants["nir"]) > 0.1
    assert np.median(water["swir1"]) < np.median(water["nir"])
    assert np.median(land["red"]) < np.median(land["nir"]) < np.median(land["swir1"])
    assert np.median((plants["nir"] - plants["red"]) / (plants["nir"] + plants["red"])) > 0.25
    assert np.median((water["green"] - water["nir"]) / (water["green"] + water["nir"])) > 0.1


def test_a_band_is_the_same_in_any_company() -> None:
    alone = landscape(3, 64, 64, bands=("nir",))
    among = landscape(3, 64, 64, bands=("swir2", "nir", "coastal"))
    np.testing.assert_array_equal(alone.image[0], among.image[1])


def test_all_bands_can_be_painted() -> None:
    scene = landscape(3, 64, 64, bands=BANDS)
    assert scene.image.shape == (11, 64, 64)
    assert scene.bands == BANDS


@pytest.mark.parametrize("climate", CLIMATES)
def test_every_climate_can_be_asked_for(climate: str) -> None:
    scene = landscape(11, 128, 128, climate=climate)
    assert (shares(scene) > 0).sum() >= 4


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"bands": ("red", "ultraviolet")}, BandError, "'ultraviolet'.*coastal, blue"),
        ({"bands": ("red", "red")}, BandError, "'red, red'"),
        ({"bands": ()}, BandError, "one or more"),
        ({"width": 15}, GridError, "15x64"),
        ({"height": 10**6, "width": 10**6}, GridError, "1000000x1000000"),
        ({"gsd": 0.0}, GridError, "got 0.0"),
        ({"gsd": float("nan")}, GridError, "got nan"),
        ({"seed": -1}, InputError, "got -1"),
        ({"climate": "polar"}, InputError, "'polar'.*desert, temperate"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, error, said) -> None:
    with pytest.raises(error, match=said):
        landscape(**{"seed": 0, "height": 64, "width": 64, **arguments})
