"""How the values of shared options are read."""

from __future__ import annotations

import inspect
import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.cli.main import cli
from geocamss.cli.options import OUTPUTS, did_you_mean, parse_bands, parse_gsd, parse_outputs
from geocamss.predict import OUTPUTS as WRITTEN
from geocamss.predict import predict

NAMES = st.text(st.characters(categories=["L", "N"], include_characters="_-"), min_size=1)


@given(st.dictionaries(NAMES, st.integers(1, 10_000), min_size=1))
def test_bands_round_trip(bands: dict[str, int]) -> None:
    assert parse_bands(",".join(f"{name}={number}" for name, number in bands.items())) == bands


@pytest.mark.parametrize("text", ["", "red", "red=", "=3", "red=0", "red=-1", "red=x", "red=1,"])
def test_other_forms_of_bands_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="red=3,green=2,blue=1"):
        parse_bands(text)


def test_a_band_given_twice_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'red' is given twice"):
        parse_bands("red=1,red=2")


@given(st.floats(1e-6, 1e6))
def test_gsd_is_a_number_of_meters(meters: float) -> None:
    assert parse_gsd(repr(meters)) == meters


@pytest.mark.parametrize("text", ["auto", "native"])
def test_gsd_is_a_word(text: str) -> None:
    assert parse_gsd(text) == text


@pytest.mark.parametrize("number", [0.0, -1.0, math.inf, math.nan])
def test_impossible_gsd_is_refused(number: float) -> None:
    with pytest.raises(click.BadParameter, match="native"):
        parse_gsd(str(number))


@given(st.lists(st.sampled_from(OUTPUTS), min_size=1))
def test_outputs_are_named_once_each(names: list[str]) -> None:
    parsed = parse_outputs(" , ".join(names))
    assert set(parsed) == set(names)
    assert len(parsed) == len(set(names))


@pytest.mark.parametrize(("text", "near"), [("clases", "classes"), ("polygon", "polygons")])
def test_unknown_output_is_told_the_nearest(text: str, near: str) -> None:
    with pytest.raises(click.BadParameter, match=f"Did you mean '{near}'"):
        parse_outputs(text)


def test_no_output_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="at least one"):
        parse_outputs(",")


def test_nothing_near_is_no_guess() -> None:
    assert did_you_mean("xyzzy", OUTPUTS) == ""


def test_command_and_function_have_the_same_options_and_defaults() -> None:
    command = cli.get_command(click.Context(cli), "predict")
    context = command.make_context("predict", ["scene.tif", "-o", "out"])
    given = {name: value for name, value in context.params.items() if name != "quiet"}
    signature = inspect.signature(predict).parameters
    assert set(given) == set(signature) - {"progress"}
    for name, parameter in signature.items():
        if name not in ("scene", "out", "progress"):
            assert given[name] == parameter.default, name


def test_every_output_that_is_written_can_be_named() -> None:
    assert OUTPUTS == WRITTEN
