"""The shapes under a landscape, against other ways to find them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geocamss.simulate.axes import Axes
from geocamss.simulate.climate import CLIMATES
from geocamss.simulate.dice import Dice
from geocamss.simulate.fabric import FABRICS
from geocamss.simulate.frame import Frame
from geocamss.simulate.noise import fractal, wave
from geocamss.simulate.plan import make_plan
from geocamss.simulate.site import Pose, find_site
from geocamss.simulate.spectra import BANDS, MATERIALS
from geocamss.simulate.survey import make_survey

seeds = st.integers(min_value=0, max_value=2**40)
meters = st.floats(min_value=-5000, max_value=5000)


@given(phase=arrays.arrays(np.float64, 20, elements=st.floats(-1e6, 1e6)))
def test_a_wave_is_nearly_a_sine(phase: np.ndarray) -> None:
    assert np.abs(wave(phase) - np.sin(2 * np.pi * phase)).max() < 0.06


@given(seed=seeds, x=meters, y=meters, unit=st.sampled_from([1.0, 5.0]))
def test_plan_and_ground_coordinates_are_inverse(seed, x, y, unit) -> None:
    axes = Axes.draw(Dice(seed, "axes"), unit)
    there = axes.to_plan(np.array([x]), np.array([y]))
    back = axes.to_ground(*there)
    assert math.dist((x, y), (back[0][0], back[1][0])) < 0.001 * unit


@given(seed=seeds)
def test_noise_belongs_to_the_ground(seed: int) -> None:
    fine = fractal(seed, "noise", Frame(256, 256, 0.5), 60.0, 8.0)
    coarse = fractal(seed, "noise", Frame(128, 128, 1.0), 60.0, 8.0)
    means = fine.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.995


def test_noise_has_unit_deviation() -> None:
    fields = [fractal(seed, "noise", Frame(200, 200, 0.5), 10.0) for seed in range(12)]
    assert abs(np.mean(fields)) < 0.1
    assert 0.75 < np.std(fields) < 1.25


def test_bells_have_the_moments_of_a_normal_distribution() -> None:
    values = Dice(7, "bells").bells((400, 400)).astype(np.float64)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values**4).mean() - 2.7) < 0.05  # a sum of four uniform numbers: 3 - 6 / (5 * 4)


@given(
    angle=st.floats(0, 2 * math.pi),
    half=st.tuples(st.floats(1, 12), st.floats(1, 12)),
    step=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)
def test_a_swept_rectangle_is_the_hull_of_its_ends(angle, half, step) -> None:
    frame = Frame(64, 64, 0.9)
    pose = Pose(28.0, 30.0, math.cos(angle), math.sin(angle))
    site = find_site(frame, pose, 100.0)
    assert site is not None
    swept = site.swept(((1.0, -2.0, *half),), pose.turn(*step))
    box = shapely.box(1.0 - half[0], -2.0 - half[1], 1.0 + half[0], -2.0 + half[1])
    turn = [pose.cos, -pose.sin, pose.sin, pose.cos]
    start = shapely.affinity.affine_transform(box, [*turn, pose.x, pose.y])
    end = shapely.affinity.translate(start, *step)
    hull = shapely.union(start, end).convex_hull
    x, y = np.broadcast_arrays(frame.x, frame.y)
    points = shapely.points(x, y)
    clear = shapely.distance(hull.exterior, points) > 1e-6
    np.testing.assert_array_equal(swept[clear], shapely.contains(hull, points)[clear])


@given(x=st.floats(-40, 100), y=st.floats(-40, 100), reach=st.floats(0, 50))
def test_a_window_holds_the_pixels_within_reach(x: float, y: float, reach: float) -> None:
    frame = Frame(40, 60, 0.7)
    rows, columns = frame.window(x, y, reach)
    inside = np.zeros((40, 60), dtype=bool)
    inside[rows, columns] = True
    # A pixel exactly at the reach may fall on either side.
    far = np.maximum(np.abs(frame.x - x), np.abs(frame.y - y))
    assert (inside[far < reach - 1e-9]).all()
    assert not inside[far > reach + 1e-9].any()


@pytest.mark.parametrize("seed", range(6))
def test_lots_partition_the_ground_and_are_found_again(seed: int) -> None:
    frame, climate = Frame(300, 300, 1.0), list(CLIMATES.values())[seed % 4]
    plan = make_plan(seed, frame, climate)
    survey = make_survey(frame, plan)
    assert 0 <= survey.lot.min() <= survey.lot.max() < plan.lots
    assert (survey.lot_edge >= -1e-3).mean() > 0.99  # beyond the last ring lots go on
    for quarter in np.unique(survey.quarter).tolist():
        here = survey.quarter == quarter
        x, y = plan.locate(
            quarter, survey.across[here].astype(float), survey.along[here].astype(float)
        )
        rows, columns = np.nonzero(here)
        error = np.hypot(x - frame.x[0, columns], y - frame.y[rows, 0])
        assert error.max() < 0.01


def test_tables_are_whole() -> None:
    assert all(len(spectrum) == len(BANDS) for spectrum in MATERIALS.values())
    assert all(0 < value < 1 for spectrum in MATERIALS.values() for value in spectrum)
    for climate in CLIMATES.values():
        for field in ("soils", "shores", "grasses", "lawns", "crops", "crowns", "roofs", "sheds"):
            assert set(getattr(climate, field)) <= set(MATERIALS)
        assert set(climate.waters) <= set(MATERIALS)
        assert set(climate.town) <= set(FABRICS)
        assert set(climate.yards) == {"lawn", "earth", "paved"}
        assert set(climate.wild) <= {"woods", "field", "park", "bare", "scrub"}
